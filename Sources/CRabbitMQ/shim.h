#pragma once
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <amqp_ssl_socket.h>

// amqp_login is variadic, which Swift does not import. The connection's name shows in the broker's management; the
// capabilities make the broker say when it cancels a consumer and when it takes no messages for want of memory or disk.
static inline amqp_rpc_reply_t cw_login_plain(
    amqp_connection_state_t connection, const char *vhost, int channel_max, int frame_max, int heartbeat,
    const char *name, const char *user, const char *password) {
  amqp_table_entry_t capabilities[2];
  capabilities[0].key = amqp_cstring_bytes("consumer_cancel_notify");
  capabilities[0].value.kind = AMQP_FIELD_KIND_BOOLEAN;
  capabilities[0].value.value.boolean = 1;
  capabilities[1].key = amqp_cstring_bytes("connection.blocked");
  capabilities[1].value.kind = AMQP_FIELD_KIND_BOOLEAN;
  capabilities[1].value.value.boolean = 1;
  amqp_table_entry_t entries[2];
  entries[0].key = amqp_cstring_bytes("connection_name");
  entries[0].value.kind = AMQP_FIELD_KIND_UTF8;
  entries[0].value.value.bytes = amqp_cstring_bytes(name);
  entries[1].key = amqp_cstring_bytes("capabilities");
  entries[1].value.kind = AMQP_FIELD_KIND_TABLE;
  entries[1].value.value.table.num_entries = 2;
  entries[1].value.value.table.entries = capabilities;
  amqp_table_t properties = {2, entries};
  return amqp_login_with_properties(
      connection, vhost, channel_max, frame_max, heartbeat, &properties, AMQP_SASL_METHOD_PLAIN, user, password);
}

// prctl is variadic too. At most 15 bytes of the name are kept.
static inline void cw_name_this_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

// Milliseconds since the other side's last data arrived at this machine, read or not; -1 when the socket can't say.
static inline long cw_milliseconds_since_data(int socket) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -1;
  return (long)info.tcpi_last_data_recv;
}

// Of OpenSSL, which librabbitmq speaks TLS with.
struct ssl_ctx_st;
struct X509_VERIFY_PARAM_st;
struct X509_VERIFY_PARAM_st *SSL_CTX_get0_param(struct ssl_ctx_st *context);
int X509_VERIFY_PARAM_set1_ip_asc(struct X509_VERIFY_PARAM_st *parameters, const char *address);

// The library compares a host with the DNS names of a certificate only. 1 when OpenSSL is to look for it among the
// certificate's IP addresses instead; 0 when it is no IP address.
static inline int cw_verify_address(amqp_socket_t *socket, const char *host) {
  struct ssl_ctx_st *context = (struct ssl_ctx_st *)amqp_ssl_socket_get_context(socket);
  return context != NULL && X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context), host) == 1;
}
