/// Loaded into a process before the C library (LD_PRELOAD), it moves that process's calendar clock by what a table says, so that
/// tests can move the clock of one process and leave the machine's alone. Time that only passes (CLOCK_MONOTONIC, CLOCK_BOOTTIME)
/// is left as it is.
///
/// The table is the file that the environment's CELLWRIGHT_CLOCK_TABLE names: for each process id, in its place, the seconds as an
/// int32_t. It is read at each look at the clock; processes that were begun without it keep the machine's time.
