/* test_http.c: whom HTTP requests believe, and how long they bear with a server
 * that does not get on. */
#include "stand.h"

#include "oci/http.h"

#include "base/bytes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a server that is no good ---- */

enum { CONNECTIONS_MAX = 32, PIECE = 100 << 10 };

/* Sends (head), then (bytes) bytes of content that is said to be longer, to
 * whoever connects; and hangs up, or never does. */
struct server {
    const char *head;
    size_t bytes;
    bool hangs_up;
    int listener;
    pthread_t thread;
    char url[64];
    int open[CONNECTIONS_MAX];
    unsigned count; /* of connections; the thread's until it is joined */
};

static void read_request(int fd)
{
    char text[4096];
    size_t count = 0;

    while (count < sizeof text - 1) {
        ssize_t got = read(fd, text + count, sizeof text - 1 - count);

        if (got <= 0)
            return;
        count += (size_t)got;
        text[count] = '\0';
        if (strstr(text, "\r\n\r\n"))
            return;
    }
}

static void send_all(int fd, const char *bytes, size_t count)
{
    while (count) {
        ssize_t put = send(fd, bytes, count, MSG_NOSIGNAL);

        if (put <= 0)
            return;
        bytes += put;
        count -= (size_t)put;
    }
}

static void *serve(void *argument)
{
    struct server *server = argument;
    static const char content[PIECE];

    while (server->count < CONNECTIONS_MAX) {
        int fd = accept(server->listener, NULL, NULL);

        if (fd < 0)
            return NULL; /* it is shut down: the test is over */
        server->open[server->count++] = fd;
        read_request(fd);
        send_all(fd, server->head, strlen(server->head));
        send_all(fd, content, server->bytes);
        if (server->hangs_up)
            shutdown(fd, SHUT_RDWR);
    }
    return NULL;
}

static void server_start(struct server *server)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof address;

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (void *)&address, length), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (void *)&address, &length),
                     0);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u/x",
             ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    for (unsigned i = 0; i < server->count; i++)
        close(server->open[i]);
    close(server->listener);
}

/* ---- patience ---- */

static int take(void *context, uint64_t offset, const void *bytes, size_t count,
                struct sm_error *err)
{
    uint64_t *end = context;

    (void)bytes;
    (void)err;
    *end = offset + count;
    return 0;
}

/* Ask (server), which never sends all of it; how often it was asked. */
static unsigned ask(struct server *server, unsigned stall_s, int code)
{
    const struct http_patience patience = {
        .stall_s = stall_s, .attempts = 2, .backoff_ms = 1};
    struct sm_error err = {0};
    struct http *http = NULL;
    uint64_t end = 0;
    struct http_job job = {.body = take, .context = &end};

    server_start(server);
    job.url = server->url;
    assert_int_equal(http_new(NULL, NULL, NULL, &http, NULL), 0);
    http_set_patience(http, &patience);
    if (http_run(http, &job, 1, &err) != code)
        fail_msg("expected %d, got %d: %s", code, err.code, err.message);
    assert_non_null(strstr(err.message, server->url));
    http_free(http);
    server_stop(server);
    return server->count;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

static void test_http_leaves_a_server_that_stops_sending(void **state)
{
    struct server mute = {.head = ""};
    struct server stalls = {.head = OK_HEAD, .bytes = 10};

    (void)state;
    assert_int_equal(ask(&mute, 1, SM_ETIMEOUT), 2);
    assert_int_equal(ask(&stalls, 1, SM_ETIMEOUT), 2);
}

/* It sends a good deal each time, but always the same. */
static void test_http_leaves_a_server_that_never_gets_on(void **state)
{
    struct server cuts = {.head = OK_HEAD, .bytes = PIECE, .hangs_up = true};
    struct server fails = {
        .head = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n",
        .hangs_up = true,
    };

    (void)state;
    assert_in_range(ask(&cuts, 30, SM_EIO), 2, 3);
    assert_int_equal(ask(&fails, 30, SM_EIO), 2);
}

/* ---- trust ---- */

/* Whether a redirect may lead to plain HTTP is a matter of where it leads. */
static void test_http_believes_only_this_host_and_those_named(void **state)
{
    static const char *const named[] = {"lab:5000", "lab2", NULL};
    static const struct {
        const char *url;
        bool lenient;
    } table[] = {
        {"https://localhost/v2/", true},
        {"http://localhost:5000/v2/", true},
        {"http://127.0.0.1:5000/v2/", true},
        {"http://[::1]:5000/", true},
        {"http://lab:5000/v2/", true},
        {"http://lab2", true},
        {"http://lab/v2/", false},
        {"http://lab:5001/v2/", false},
        {"http://localhost.evil.example/", false},
        {"http://127.0.0.1.evil.example/", false},
        {"http://lab:5000@evil.example/", false},
        {"http://evil.example/localhost", false},
        {"http://evil.example?//localhost", false},
        {"localhost", false},
        {"", false},
    };
    struct http *http = NULL;

    (void)state;
    assert_int_equal(http_new(NULL, NULL, named, &http, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (http_is_lenient(http, table[i].url) != table[i].lenient)
            fail_msg("%s: expected %d", table[i].url, table[i].lenient);
    http_free(http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_leaves_a_server_that_stops_sending),
        cmocka_unit_test(test_http_leaves_a_server_that_never_gets_on),
        cmocka_unit_test(test_http_believes_only_this_host_and_those_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
