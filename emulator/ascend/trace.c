/* Counting and tracing. With ASCEND_EMULATOR_TRACE=FILE every exported call (process "host", wall time) and every device task (process "device N", one line per
 * stream, modelled time) is written as an event of the Chrome trace format, which Perfetto opens. At the end of the process: the list of leaks. */
#include "emulator.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t counters[COUNT_KINDS];
static __thread const char *current_name = "";
static FILE *file;
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t file_once = PTHREAD_ONCE_INIT;

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static void open_trace(void)
{
    const struct settings *settings = emulator_settings();
    if (!settings->trace_path || !*settings->trace_path)
        return;
    file = fopen(settings->trace_path, "we");
    if (!file) {
        fprintf(stderr, "ascend emulator: cannot write the trace to %s\n", settings->trace_path);
        return;
    }
    fprintf(file, "[{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0,\"args\":{\"name\":\"host (wall time)\"}}");
    for (unsigned i = 0; i < settings->n_devices; i++)
        fprintf(file, ",\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%u,\"args\":{\"name\":\"device %u: %s (modelled time)\"}}", i + 1, i,
                settings->soc.name);
}

bool trace_is_on(void)
{
    pthread_once(&file_once, open_trace);
    return file != NULL;
}

void trace_device(unsigned device, int stream, const char *name, const char *arguments, double start_ns, double duration_ns)
{
    if (!trace_is_on())
        return;
    pthread_mutex_lock(&file_lock);
    if (file)
        fprintf(file, ",\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":%u,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"shapes\":\"%s\"}}", name, device + 1, stream,
                start_ns * 1e-3, duration_ns * 1e-3, arguments ? arguments : "");
    pthread_mutex_unlock(&file_lock);
}

struct entry entry_begin(const char *name)
{
    struct entry entry = {current_name, 0};
    if (*current_name) /* a call made by another call of ours, or by a callback: not the caller's */
        return entry;
    entry.started_us = trace_is_on() ? now_us() : 0;
    current_name = name;
    fault_at_call(atomic_fetch_add(&counters[COUNT_CALLS], 1) + 1);
    return entry;
}

void entry_end(struct entry *entry)
{
    if (*entry->name)
        return;
    if (trace_is_on()) {
        double ended = now_us();
        pthread_mutex_lock(&file_lock);
        if (file)
            fprintf(file, ",\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":0,\"tid\":%ld,\"ts\":%.3f,\"dur\":%.3f}", current_name, (long)syscall(SYS_gettid),
                    entry->started_us, ended - entry->started_us);
        pthread_mutex_unlock(&file_lock);
    }
    current_name = entry->name;
}

const char *entry_name(void)
{
    return current_name;
}

void entry_set_name(const char *name)
{
    current_name = name;
}

void count_add(enum counter counter, uint64_t amount)
{
    atomic_fetch_add(&counters[counter], amount);
}

uint64_t count_get(enum counter counter)
{
    return atomic_load(&counters[counter]);
}

EXPORT uint64_t ascendEmulatorCount(const char *name)
{
    static const char *const names[COUNT_KINDS] = {"calls", "launches", "copies", "replays", "tasks", "device_ns"};
    for (int i = 0; name && i < COUNT_KINDS; i++)
        if (!strcmp(name, names[i]))
            return count_get((enum counter)i);
    return name && !strcmp(name, "allocated") ? memory_allocated() : UINT64_MAX;
}

__attribute__((destructor)) static void finish_process(void)
{
    pthread_mutex_lock(&file_lock);
    if (file) {
        fprintf(file, "]\n");
        fclose(file);
        file = NULL;
    }
    pthread_mutex_unlock(&file_lock);
    control_stop();
    unsigned leaks = memory_list_leaks() + object_list_leaks();
    if (leaks && emulator_settings()->fail_on_leak) {
        fprintf(stderr, "ascend emulator: %u leaks; ASCEND_EMULATOR_LEAKS=fail ends the process with status 97\n", leaks);
        fflush(NULL);
        _exit(97);
    }
}
