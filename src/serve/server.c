/* Sockets, signals, and the loop. */
#include "serve/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/api_keys.h"
#include "serve/connection.h"
#include "serve/generation.h"
#include "serve/metrics.h"

enum { DEFAULT_CONNECTIONS = 1024, DEFAULT_DRAIN_SECONDS = 30, DEFAULT_BODY = 16 << 20, BACKLOG = 512 };

struct listeners {
    struct evconnlistener *listener;
    struct event *terminate, *interrupt, *drained;
    bool accepting;
    char address[160];
    char socket_path[108]; /* to be removed at the end; "": none */
};

/* ---- Accepting. */

static void resume_accepting(struct server *server)
{
    struct listeners *all = server->listeners;
    if (!all->accepting && !server->draining && all->listener) {
        evconnlistener_enable(all->listener);
        all->accepting = true;
    }
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t socket, struct sockaddr *address, int length, void *self)
{
    struct server *server = self;
    int on = 1;
    (void)length;
    if (address->sa_family != AF_UNIX)
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* tokens are small and must not wait for one another */
    connection_open(server, socket);
    if (server->n_connections >= server->options.max_connections) { /* the rest waits in the kernel's queue */
        evconnlistener_disable(listener);
        server->listeners->accepting = false;
    }
}

static void on_accept_error(struct evconnlistener *listener, void *self)
{
    struct server *server = self;
    log_write(LOG_WARNING, "accepting a connection: %s; no more are taken until one has ended", strerror(EVUTIL_SOCKET_ERROR()));
    evconnlistener_disable(listener);
    server->listeners->accepting = false;
}

void server_connection_ended(struct server *server)
{
    resume_accepting(server);
}

/* ---- Ends. */

static void stop_if_drained(struct server *server)
{
    for (const struct connection *connection = server->connections; connection; connection = connection->next)
        if (connection_is_busy(connection))
            return;
    event_base_loopexit(server->base, NULL);
}

static void on_drain_tick(evutil_socket_t socket, short what, void *self)
{
    (void)socket;
    (void)what;
    stop_if_drained(self);
}

/* The first signal: nothing new is taken, what runs may end. The second: the end. */
static void on_signal(evutil_socket_t signal, short what, void *self)
{
    struct server *server = self;
    struct timeval tick = {.tv_usec = 50000}, limit = {.tv_sec = server->options.drain_seconds};
    (void)signal;
    (void)what;
    if (server->draining) {
        event_base_loopbreak(server->base);
        return;
    }
    server->draining = true;
    evconnlistener_disable(server->listeners->listener);
    log_write(LOG_INFO, "draining: %d answers under way may end within %d s", generations_count(server), server->options.drain_seconds);
    event_add(server->listeners->drained, &tick);
    event_base_loopexit(server->base, &limit);
}

/* ---- Sockets. */

static int listen_on_path(struct server *server, struct error *err)
{
    struct listeners *all = server->listeners;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat old;
    const char *path = server->options.socket_path;
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path)
        return error_set(err, SAMPAN_EINVAL, "listening on '%s': the path is longer than %zu bytes", path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, length + 1);
    if (lstat(path, &old) == 0) { /* of a server that was killed; anything else stays, and so does the socket of one that lives */
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool alive = probe >= 0 && connect(probe, (struct sockaddr *)&address, sizeof address) == 0;
        if (probe >= 0)
            close(probe);
        if (!S_ISSOCK(old.st_mode) || alive)
            return error_set(err, SAMPAN_EIO, "listening on '%s': %s", path, alive ? "another server does" : "something else than a socket is there");
        unlink(path);
    }
    all->listener = evconnlistener_new_bind(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
                                            (struct sockaddr *)&address, sizeof address);
    if (!all->listener)
        return error_set(err, SAMPAN_EIO, "listening on '%s': %s", path, strerror(errno));
    memcpy(all->socket_path, path, length + 1);
    snprintf(all->address, sizeof all->address, "unix:%s", path);
    return 0;
}

static int listen_on_port(struct server *server, struct error *err)
{
    struct listeners *all = server->listeners;
    struct sockaddr_storage address = {0};
    int length = sizeof address;
    const char *host = server->options.host ? server->options.host : "127.0.0.1";
    char text[128], shown[INET6_ADDRSTRLEN] = "";
    bool six = strchr(host, ':') != NULL;
    snprintf(text, sizeof text, six ? "[%s]:%d" : "%s:%d", host, (int)server->options.port);
    /* libevent refuses port 0 in a text: it is put in afterwards. */
    if (server->options.port == 0)
        snprintf(text, sizeof text, "%s", host);
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &length))
        return error_set(err, SAMPAN_EINVAL, "listening on '%s' port %d: expected a numeric address like 127.0.0.1, 0.0.0.0 or ::1 and a port below 65536",
                         host, (int)server->options.port);
    all->listener = evconnlistener_new_bind(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
                                            (struct sockaddr *)&address, length);
    if (!all->listener)
        return error_set(err, SAMPAN_EIO, "listening on %s port %d: %s; choose another with --port", host, (int)server->options.port, strerror(errno));
    socklen_t size = sizeof address;
    getsockname(evconnlistener_get_fd(all->listener), (struct sockaddr *)&address, &size);
    int port = ntohs(six ? ((struct sockaddr_in6 *)&address)->sin6_port : ((struct sockaddr_in *)&address)->sin_port);
    evutil_inet_ntop(six ? AF_INET6 : AF_INET,
                     six ? (void *)&((struct sockaddr_in6 *)&address)->sin6_addr : (void *)&((struct sockaddr_in *)&address)->sin_addr, shown, sizeof shown);
    snprintf(all->address, sizeof all->address, six ? "http://[%s]:%d" : "http://%s:%d", shown, port);
    return 0;
}

/* ---- Life. */

static void take_options(struct server *server, const struct server_options *options)
{
    server->options = *options;
    if (server->options.max_connections <= 0)
        server->options.max_connections = DEFAULT_CONNECTIONS;
    if (server->options.drain_seconds <= 0)
        server->options.drain_seconds = DEFAULT_DRAIN_SECONDS;
    if (!server->options.max_body)
        server->options.max_body = DEFAULT_BODY;
}

static int watch_signals(struct server *server, struct error *err)
{
    struct listeners *all = server->listeners;
    all->terminate = evsignal_new(server->base, SIGTERM, on_signal, server);
    all->interrupt = evsignal_new(server->base, SIGINT, on_signal, server);
    all->drained = event_new(server->base, -1, EV_PERSIST, on_drain_tick, server);
    if (!all->terminate || !all->interrupt || !all->drained || event_add(all->terminate, NULL) || event_add(all->interrupt, NULL))
        return error_no_memory(err, "starting the server");
    return 0;
}

int server_create(sampan_model *model, sampan_engine *engine, const struct server_options *options, struct server **result, struct error *err)
{
    *result = NULL;
    struct server *server = mem_zalloc(sizeof *server);
    if (!server)
        return error_no_memory(err, "starting the server");
    server->model = model;
    server->engine = engine;
    server->started = (int64_t)time(NULL);
    server->started_ns = clock_now_ns(&clock_monotonic);
    take_options(server, options);
    server->model_description.size = sizeof server->model_description;
    server->engine_description.size = sizeof server->engine_description;
    server->listeners = mem_zalloc(sizeof *server->listeners);
    server->base = event_base_new();
    int status = server->listeners && server->base ? 0 : error_no_memory(err, "starting the server");
    if (!status && (sampan_model_describe(model, &server->model_description) || sampan_engine_describe(engine, &server->engine_description)))
        status = error_set(err, SAMPAN_EINTERNAL, "starting the server: %s", sampan_error_message());
    status = status ? status : metrics_create(&server->metrics, err);
    if (!status && server->options.keys_file)
        status = api_keys_read(server->options.keys_file, &server->keys, err);
    status = status ? status : generations_open(server, err);
    status = status ? status : watch_signals(server, err);
    if (!status)
        status = server->options.socket_path ? listen_on_path(server, err) : listen_on_port(server, err);
    if (status) {
        server_free(server);
        return status;
    }
    evconnlistener_set_error_cb(server->listeners->listener, on_accept_error);
    server->listeners->accepting = true;
    *result = server;
    return 0;
}

int server_run(struct server *server, struct error *err)
{
    if (event_base_dispatch(server->base) < 0)
        return error_set(err, SAMPAN_EIO, "serving: the event loop failed");
    return 0;
}

const char *server_address(const struct server *server)
{
    return server->listeners->address;
}

static void free_listeners(struct listeners *all)
{
    if (all->listener)
        evconnlistener_free(all->listener);
    struct event *events[] = {all->terminate, all->interrupt, all->drained};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            event_free(events[i]);
    if (*all->socket_path)
        unlink(all->socket_path);
    mem_free(all);
}

void server_free(struct server *server)
{
    if (!server)
        return;
    while (server->connections)
        connection_close(server->connections);
    generations_close(server);
    if (server->listeners)
        free_listeners(server->listeners);
    if (server->base)
        event_base_free(server->base);
    api_keys_free(server->keys);
    metrics_free(server->metrics);
    mem_free(server);
}
