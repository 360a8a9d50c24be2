// SPDX-License-Identifier: Apache-2.0
//
// How the lifelines are connected. Rank 0 listens, on an abstract Unix socket and, when there are ranks on other hosts,
// on a TCP port of all its addresses, and tells where through MPI, together with a token that nobody else knows. A rank
// tries every way at once and keeps the first on which rank 0 answers. The listening sockets are closed when all have
// come.
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "comm/lifeline_int.h"

enum {
    TOKEN_BYTES = 16,
    MAX_ADDRESSES = 16,
    DEADLINE_MS = 8000, // for all to come; a rank that has died meanwhile never does
    SEND_TIMEOUT_S = 1,
    // A host that vanishes without closing its sockets is missed after idle + interval * count seconds.
    KEEPALIVE_IDLE_S = 3,
    KEEPALIVE_INTERVAL_S = 1,
    KEEPALIVE_COUNT = 4,
};

// What rank 0 tells all others.
typedef struct meeting {
    unsigned char token[TOKEN_BYTES];
    lf__peer_name host; // rank 0 itself
    char unix_name[32];
    int32_t n_address; // 0: all ranks are on one host
    struct sockaddr_storage addresses[MAX_ADDRESSES];
} meeting;

// What a rank says first on its line, and rank 0 answers with the token alone.
typedef struct hello {
    unsigned char token[TOKEN_BYTES];
    lf__peer_name name;
} hello;

static lf__peer_name own_name(int rank)
{
    lf__peer_name name = {.rank = rank, .pid = (int32_t)getpid()};
    if (gethostname(name.host, sizeof name.host - 1) != 0) snprintf(name.host, sizeof name.host, "?");
    return name;
}

static void settle(int fd)
{
    int one = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;
    unsigned unanswered_ms = 1000 * (KEEPALIVE_IDLE_S + KEEPALIVE_INTERVAL_S * KEEPALIVE_COUNT);
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    // On a Unix socket the rest is refused, which is fine: its other end is on this host.
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof unanswered_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int ms_until(int64_t deadline_ns)
{
    int64_t left = (deadline_ns - lf_now_ns()) / 1000000;
    return left < 0 ? 0 : (int)left;
}

// Reads exactly `bytes` before the deadline, from a socket that may be non-blocking.
static bool receive_all(int fd, void *data, size_t bytes, int64_t deadline_ns)
{
    unsigned char *at = data;
    while (bytes > 0) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, ms_until(deadline_ns)) <= 0 && lf_now_ns() >= deadline_ns) return false;
        ssize_t n = recv(fd, at, bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
        if (n < 0) continue;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

// ---- rank 0: listening ----

static socklen_t unix_address(struct sockaddr_un *address, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address->sun_path + 1, name, length); // abstract: the name begins after a NUL byte
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

static int listen_unix(const char *name, int backlog)
{
    struct sockaddr_un address;
    socklen_t length = unix_address(&address, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, backlog) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

// On all addresses of both families where the host has IPv6, of IPv4 otherwise. *port in network order.
static int listen_tcp(int backlog, in_port_t *port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in any4 = {.sin_family = AF_INET};
    int zero = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        socklen_t length = sizeof any6;
        if (bind(fd, (struct sockaddr *)&any6, length) == 0 && listen(fd, backlog) == 0 &&
            getsockname(fd, (struct sockaddr *)&any6, &length) == 0) {
            *port = any6.sin6_port;
            return fd;
        }
        close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    socklen_t length = sizeof any4;
    if (bind(fd, (struct sockaddr *)&any4, length) == 0 && listen(fd, backlog) == 0 &&
        getsockname(fd, (struct sockaddr *)&any4, &length) == 0) {
        *port = any4.sin_port;
        return fd;
    }
    close(fd);
    return -1;
}

// The addresses of this host that another one may reach.
static void list_addresses(meeting *m, in_port_t port)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0) return;
    for (struct ifaddrs *at = list; at && m->n_address < MAX_ADDRESSES; at = at->ifa_next) {
        if (!at->ifa_addr || !(at->ifa_flags & IFF_UP) || (at->ifa_flags & IFF_LOOPBACK)) continue;
        struct sockaddr_storage *slot = &m->addresses[m->n_address];
        if (at->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in *address = (struct sockaddr_in *)slot;
            memcpy(address, at->ifa_addr, sizeof *address);
            address->sin_port = port;
        } else if (at->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 *address = (struct sockaddr_in6 *)slot;
            memcpy(address, at->ifa_addr, sizeof *address);
            if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) continue; // needs the other host's interface number
            address->sin6_port = port;
        } else {
            continue;
        }
        m->n_address++;
    }
    freeifaddrs(list);
}

static lf_status listen_for_ranks(const lf_comm *comm, meeting *m, int fds[2], lf_error *err)
{
    lf_comm_world world = lf_comm_world_of_environment();
    in_port_t port = 0;
    m->host = own_name(0);
    if (getrandom(m->token, sizeof m->token, 0) != (ssize_t)sizeof m->token) {
        return lf_error_errno(err, errno, "cannot get a random number");
    }
    uint64_t name;
    memcpy(&name, m->token, sizeof name);
    snprintf(m->unix_name, sizeof m->unix_name, "landfall-%016llx", (unsigned long long)name * 0x9e3779b97f4a7c15u);
    fds[0] = listen_unix(m->unix_name, comm->n_rank);
    if (fds[0] < 0) return lf_error_errno(err, errno, "cannot listen for the other ranks");
    if (world.n_local_rank == world.n_rank) return LF_OK;
    fds[1] = listen_tcp(comm->n_rank, &port);
    if (fds[1] < 0) return lf_error_errno(err, errno, "cannot listen for ranks on other hosts");
    list_addresses(m, port);
    return LF_OK;
}

// Takes one connection; whoever does not know the token is sent away.
static void accept_rank(lf__lifelines *lifelines, const meeting *m, int listen_fd, int64_t deadline_ns)
{
    hello said;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    settle(fd);
    int64_t soon = LF_MIN(deadline_ns, lf_now_ns() + 1000000000);
    if (receive_all(fd, &said, sizeof said, soon) && memcmp(said.token, m->token, TOKEN_BYTES) == 0 &&
        said.name.rank > 0 && (size_t)said.name.rank <= lifelines->n_line &&
        send(fd, m->token, TOKEN_BYTES, MSG_NOSIGNAL) == TOKEN_BYTES) {
        lf__line *line = &lifelines->lines[said.name.rank - 1];
        if (line->fd >= 0) close(line->fd); // a rank that tries several ways keeps the last that was answered
        line->fd = fd;
        line->peer = said.name;
        line->peer.host[sizeof line->peer.host - 1] = '\0';
        return;
    }
    close(fd);
}

static lf_status accept_all(lf__lifelines *lifelines, const meeting *m, const int listen_fds[2], lf_error *err)
{
    int64_t deadline_ns = lf_now_ns() + DEADLINE_MS * INT64_C(1000000);
    for (;;) {
        size_t missing = 0;
        while (missing < lifelines->n_line && lifelines->lines[missing].fd >= 0) missing++;
        if (missing == lifelines->n_line) return LF_OK;
        struct pollfd fds[2] = {{.fd = listen_fds[0], .events = POLLIN}, {.fd = listen_fds[1], .events = POLLIN}};
        if (poll(fds, 2, ms_until(deadline_ns)) <= 0 && lf_now_ns() >= deadline_ns) {
            lf_error_set(err, LF_ERR_COMM, "rank %zu has not connected to rank 0 (host %s) within %d s", missing + 1,
                         m->host.host, DEADLINE_MS / 1000);
            return lf_error_hint(err, "ranks on other hosts need a TCP connection to rank 0; look at firewalls");
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents) accept_rank(lifelines, m, listen_fds[i], deadline_ns);
        }
    }
}

// ---- the others: connecting ----

// Begins to connect; the socket becomes writable when that is decided. -1 when it failed at once.
static int begin_connect(const struct sockaddr *address, socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && (connect(fd, address, length) == 0 || errno == EINPROGRESS)) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

// Says hello on a connected socket; true when rank 0 answers.
static bool greet(int fd, const meeting *m, int rank, int64_t deadline_ns)
{
    unsigned char answer[TOKEN_BYTES];
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error) return false;
    hello mine = {.name = own_name(rank)};
    memcpy(mine.token, m->token, sizeof mine.token);
    if (send(fd, &mine, sizeof mine, MSG_NOSIGNAL) != (ssize_t)sizeof mine) return false;
    return receive_all(fd, answer, sizeof answer, deadline_ns) && memcmp(answer, m->token, sizeof answer) == 0;
}

// The first way on which rank 0 answers; -1 when there is none.
static int connect_any(const meeting *m, int rank)
{
    struct pollfd fds[1 + MAX_ADDRESSES];
    struct sockaddr_un local;
    int64_t deadline_ns = lf_now_ns() + (DEADLINE_MS - 1000) * INT64_C(1000000);
    socklen_t length = unix_address(&local, m->unix_name);
    size_t n = 0, n_open = 0;
    int found = -1;
    fds[n++] = (struct pollfd){.fd = begin_connect((struct sockaddr *)&local, length), .events = POLLOUT};
    for (int i = 0; i < m->n_address && fds[0].fd < 0; i++) {
        const struct sockaddr *address = (const struct sockaddr *)&m->addresses[i];
        length = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        fds[n++] = (struct pollfd){.fd = begin_connect(address, length), .events = POLLOUT};
    }
    for (size_t i = 0; i < n; i++) n_open += fds[i].fd >= 0;
    while (found < 0 && n_open > 0 && (poll(fds, n, ms_until(deadline_ns)) > 0 || lf_now_ns() < deadline_ns)) {
        for (size_t i = 0; i < n && found < 0; i++) {
            if (fds[i].fd < 0 || !fds[i].revents) continue;
            if (greet(fds[i].fd, m, rank, deadline_ns)) {
                found = fds[i].fd;
            } else {
                close(fds[i].fd);
                n_open--;
            }
            fds[i].fd = -1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (fds[i].fd >= 0) close(fds[i].fd);
    }
    return found;
}

static lf_status connect_to_rank_0(lf__lifelines *lifelines, const meeting *m, lf_error *err)
{
    lf__line *line = &lifelines->lines[0];
    int rank = lifelines->comm->rank;
    line->peer = m->host;
    line->peer.host[sizeof line->peer.host - 1] = '\0';
    line->fd = connect_any(m, rank);
    if (line->fd >= 0) {
        settle(line->fd);
        return LF_OK;
    }
    lf_error_set(err, LF_ERR_COMM, "rank %d (host %s) cannot connect to rank 0 (host %s)", rank, own_name(rank).host,
                 line->peer.host);
    return lf_error_hint(err, "ranks on other hosts need a TCP connection to rank 0; look at firewalls");
}

lf_status lf__meet(lf__lifelines *lifelines, lf_error *err)
{
    lf_comm *comm = lifelines->comm;
    meeting m = {0};
    int fds[2] = {-1, -1};
    lf_status status = comm->rank == 0 ? listen_for_ranks(comm, &m, fds, err) : LF_OK;
    status = lf__agree(comm, status, err);
    if (!status) status = lf__broadcast_from(comm, 0, &m, sizeof m, err);
    if (!status) {
        status = comm->rank == 0 ? accept_all(lifelines, &m, fds, err) : connect_to_rank_0(lifelines, &m, err);
        status = lf__agree(comm, status, err);
    }
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) close(fds[i]);
    }
    return status;
}
