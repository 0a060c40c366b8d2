// Loaded before Swift's libraries (LD_PRELOAD), it tells the thread sanitizer what these do out of its sight: they are not built
// with it, and wait by futexes and by atomic numbers of their own.
//
// - A Mutex that waits in the kernel: _lockSlow, _tryLockSlow, _unlockSlow. Where nobody waits the compiler writes it into our own
//   code, which the sanitizer sees.
// - A continuation: what was done before it was resumed is done when its task goes on.
// - An array or a dictionary that one thread reads and lets go, and another, that has it alone then, writes in place: swift_release
//   by who is not the last, and the question whether a reference is the only one.
//
// Swift's calling conventions are clang's swiftcall and swiftasynccall; the names are those of Swift 6.3. deploy/sanitize builds it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stddef.h>

#define SWIFT __attribute__((swiftcall))
#define ASYNC __attribute__((swiftasynccall))
#define CONTEXT __attribute__((swift_context))

extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

// MARK: Synchronization.Mutex

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock_slow(uint32_t thread, CONTEXT void *mutex) __asm__(LOCK_SLOW);
SWIFT void lock_slow(uint32_t thread, CONTEXT void *mutex) {
    static SWIFT void (*next)(uint32_t, CONTEXT void *);
    if (next == NULL) next = real(LOCK_SLOW);
    next(thread, mutex);
    if (__tsan_acquire) __tsan_acquire(mutex);
}

SWIFT _Bool try_lock_slow(CONTEXT void *mutex) __asm__(TRY_LOCK_SLOW);
SWIFT _Bool try_lock_slow(CONTEXT void *mutex) {
    static SWIFT _Bool (*next)(CONTEXT void *);
    if (next == NULL) next = real(TRY_LOCK_SLOW);
    _Bool locked = next(mutex);
    if (locked && __tsan_acquire) __tsan_acquire(mutex);
    return locked;
}

SWIFT void unlock_slow(CONTEXT void *mutex) __asm__(UNLOCK_SLOW);
SWIFT void unlock_slow(CONTEXT void *mutex) {
    static SWIFT void (*next)(CONTEXT void *);
    if (next == NULL) next = real(UNLOCK_SLOW);
    if (__tsan_release) __tsan_release(mutex);
    next(mutex);
}

// MARK: Continuations

SWIFT void swift_continuation_resume(void *task) {
    static SWIFT void (*next)(void *);
    if (next == NULL) next = real("swift_continuation_resume");
    if (__tsan_release) __tsan_release(task);
    next(task);
}

SWIFT void swift_continuation_throwingResume(void *task) {
    static SWIFT void (*next)(void *);
    if (next == NULL) next = real("swift_continuation_throwingResume");
    if (__tsan_release) __tsan_release(task);
    next(task);
}

SWIFT void swift_continuation_throwingResumeWithError(void *task, void *error) {
    static SWIFT void (*next)(void *, void *);
    if (next == NULL) next = real("swift_continuation_throwingResumeWithError");
    if (__tsan_release) __tsan_release(task);
    next(task, error);
}

// The head of an asynchronous function's frame (AsyncContext).
struct context {
    struct context *parent;
    ASYNC void (*resume)(__attribute__((swift_async_context)) struct context *);
};

// Where tasks go on that have a continuation, by their frames. With more of them than places, the sanitizer is not told of some.
enum { places = 1 << 16 };
static struct {
    struct context *context;
    ASYNC void (*resume)(__attribute__((swift_async_context)) struct context *);
} waiting[places];
static atomic_flag is_locked = ATOMIC_FLAG_INIT;

static void lock(void) {
    while (atomic_flag_test_and_set_explicit(&is_locked, memory_order_acquire)) sched_yield();
}

static size_t place(struct context *context) {
    size_t found = ((uintptr_t)context >> 4) % places;
    for (int tries = 0; tries < 64 && waiting[found].context != context; tries++) found = (found + 1) % places;
    return found;
}

static SWIFT void *(*current_task)(void);

// A task goes on here, whether it had to wait or not: what was done before it was resumed is done.
static ASYNC void go_on(__attribute__((swift_async_context)) struct context *context) {
    if (__tsan_acquire) __tsan_acquire(current_task());
    lock();
    size_t own = place(context);
    context->resume = waiting[own].resume;
    waiting[own].context = NULL;
    atomic_flag_clear_explicit(&is_locked, memory_order_release);
    __attribute__((musttail)) return context->resume(context);
}

SWIFT void *swift_continuation_init(struct context *context, size_t flags) {
    static SWIFT void *(*next)(struct context *, size_t);
    if (next == NULL) {
        current_task = real("swift_task_getCurrent");
        next = real("swift_continuation_init");
    }
    lock();
    size_t own = ((uintptr_t)context >> 4) % places;
    for (int tries = 0; tries < 64 && waiting[own].context != NULL; tries++) own = (own + 1) % places;
    if (waiting[own].context == NULL) {
        waiting[own].context = context;
        waiting[own].resume = context->resume;
        context->resume = go_on;
    }
    atomic_flag_clear_explicit(&is_locked, memory_order_release);
    return next(context, flags);
}

// MARK: Reference counts

// Who is the last ends the object, which needs no word. Negative are objects that live for ever.
static void leave(void *object) {
    static size_t (*count)(void *);
    if (count == NULL) count = real("swift_retainCount");
    if (object && __tsan_release && (intptr_t)object > 0 && count(object) > 1) __tsan_release(object);
}

void swift_release(void *object) {
    static void (*next)(void *);
    if (next == NULL) next = real("swift_release");
    leave(object);
    next(object);
}

_Bool swift_isUniquelyReferenced_nonNull_native(const void *object) {
    static _Bool (*next)(const void *);
    if (next == NULL) next = real("swift_isUniquelyReferenced_nonNull_native");
    _Bool isUnique = next(object);
    if (isUnique && __tsan_acquire) __tsan_acquire((void *)object);
    return isUnique;
}
