/* Orders to a running process. ASCEND_EMULATOR_CONTROL=PATH: a UNIX socket there takes one command a line and answers one line, "ok ..." or "error ...":
 *   fault ORDER     as in ASCEND_EMULATOR_FAULT; kind@+N counts from now
 *   clear           forgets all orders that have not struck yet
 *   count NAME      a figure, as ascendEmulatorCount gives it
 *   devices         of each device: state, memory in use and in all
 * A FIFO at PATH (made beforehand by mkfifo) is read in the same way, without answers. */
#include "emulator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char socket_path[sizeof((struct sockaddr_un *)NULL)->sun_path];
static pthread_once_t control_once = PTHREAD_ONCE_INIT;

static void describe_devices(char *answer, size_t size)
{
    size_t used = (size_t)snprintf(answer, size, "ok");
    for (unsigned i = 0; i < emulator_settings()->n_devices && used < size; i++) {
        struct device *device = device_at((int)i);
        uint64_t free_bytes = memory_free_bytes(device);
        pthread_mutex_lock(&emulator_lock);
        int lost = device->lost;
        pthread_mutex_unlock(&emulator_lock);
        used += (size_t)snprintf(answer + used, size - used, "%s device %u %s", i ? "," : "", i, lost ? "lost" : "normal");
        if (used < size && lost)
            used += (size_t)snprintf(answer + used, size - used, " (%d)", lost);
        if (used < size)
            used += (size_t)snprintf(answer + used, size - used, " %llu of %llu bytes free", (unsigned long long)free_bytes,
                                     (unsigned long long)emulator_settings()->memory_bytes);
    }
}

/* One line of at most a kilobyte; the answer is one line as well. */
static void obey(char *line, char *answer, size_t size)
{
    line[strcspn(line, "\r\n")] = 0;
    if (!strncmp(line, "fault ", 6)) {
        const char *wrong = fault_order(line + 6);
        snprintf(answer, size, wrong ? "error %s" : "ok", wrong);
    } else if (!strcmp(line, "clear")) {
        fault_clear();
        snprintf(answer, size, "ok");
    } else if (!strncmp(line, "count ", 6)) {
        uint64_t figure = ascendEmulatorCount(line + 6);
        snprintf(answer, size, figure == UINT64_MAX ? "error there is no figure of that name" : "ok %llu", (unsigned long long)figure);
    } else if (!strcmp(line, "devices")) {
        describe_devices(answer, size);
    } else {
        snprintf(answer, size, "error '%.40s' is none of: fault ORDER, clear, count NAME, devices", line);
    }
}

static void serve_stream(FILE *from, int answers)
{
    char line[1024], answer[1024];
    while (fgets(line, sizeof line, from)) {
        obey(line, answer, sizeof answer - 1);
        size_t length = strlen(answer);
        answer[length++] = '\n';
        if (answers >= 0 && send(answers, answer, length, MSG_NOSIGNAL) != (ssize_t)length)
            break;
    }
}

static void *serve_socket(void *argument)
{
    int listener = (int)(intptr_t)argument;
    entry_set_name("control"); /* its calls are not the program's */
    for (;;) {
        int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (peer < 0 && errno != EINTR && errno != ECONNABORTED)
            return NULL;
        FILE *from = peer >= 0 ? fdopen(peer, "r") : NULL;
        if (from) {
            serve_stream(from, peer);
            fclose(from);
        } else if (peer >= 0) {
            close(peer);
        }
    }
}

static void *serve_fifo(void *argument)
{
    char *path = argument;
    entry_set_name("control");
    for (FILE *from; (from = fopen(path, "re"));) {
        serve_stream(from, -1);
        fclose(from);
    }
    free(path);
    return NULL;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener >= 0 && (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4))) {
        close(listener);
        return -1;
    }
    return listener;
}

static void start(void)
{
    const char *path = getenv("ASCEND_EMULATOR_CONTROL");
    struct stat there;
    pthread_t thread;
    bool started = false;
    if (!path || !*path)
        return;
    if (!stat(path, &there) && S_ISFIFO(there.st_mode)) {
        char *copy = strdup(path);
        started = copy && !pthread_create(&thread, NULL, serve_fifo, copy);
    } else {
        int listener = open_socket(path);
        started = listener >= 0 && !pthread_create(&thread, NULL, serve_socket, (void *)(intptr_t)listener);
        if (started)
            snprintf(socket_path, sizeof socket_path, "%s", path);
    }
    if (started)
        pthread_detach(thread);
    else
        fprintf(stderr, "ascend emulator: no control socket at %s: %s\n", path, strerror(errno));
}

void control_start(void)
{
    pthread_once(&control_once, start);
}

void control_stop(void)
{
    if (*socket_path)
        unlink(socket_path);
}
