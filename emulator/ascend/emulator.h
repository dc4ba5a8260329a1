/* Inside the emulator: devices with memory, contexts, streams (a worker thread each), events, captured graphs, and how a call fails.
 *
 *   caller ── aclrt* / aclnn* ──> task ──> stream queue ──> worker thread ──> device memory (backing)
 *                                   └─ while capturing: kept in the graph, executed by each replay
 *
 * Device addresses are never readable by the host: a device's window of addresses is reserved without access rights, the contents live elsewhere. Dereferencing
 * a device pointer on the host therefore crashes at once, as on hardware. One lock (emulator_lock) guards contexts, streams, events and captures; memory and
 * handles have a lock of their own. Source of the rules: the project's fact sheet on the interface, sections 2, 3 and 6. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <pthread.h>

#include "ascend_api.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- what the environment asks for, and the chip that is played (profile.c) ---- */
enum soc_family { SOC_310P = 1, SOC_A2 = 2, SOC_A3 = 4, SOC_950 = 8 };
#define SOC_ALL (SOC_310P | SOC_A2 | SOC_A3 | SOC_950)

struct soc_profile {
    const char *name;
    enum soc_family family;
    uint64_t memory_bytes;
    double bandwidth, cube_flops, vector_flops; /* bytes/s; dense fp16 operations/s; fp32 vector operations/s: public figures, rounded */
    int cube_cores, vector_cores;
    unsigned max_streams, max_events;
};

struct settings {
    struct soc_profile soc;
    unsigned n_devices;
    uint64_t memory_bytes; /* of each device */
    bool version_81;       /* behave as CANN 8.1: a second aclInit is refused, ... */
    bool verbose, fail_on_leak, quiet_leaks, old_driver;
    unsigned hang_milliseconds, slow_milliseconds;
    uint64_t seed; /* 0: the order of sums depends on shapes alone; else on each launch as well */
    const char *trace_path;
};

const struct settings *emulator_settings(void);

/* ---- failing: the code is returned, the message waits for aclGetRecentErrMsg in this thread (error.c) ---- */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *fail_message(void);                 /* this thread's newest message, "" when none */
void fail_adopt(int code, const char *message); /* another thread's failure becomes this thread's newest */

/* ---- every exported call begins with ENTER (trace.c): counts it, traces it, arms faults ---- */
struct entry {
    const char *name;
    double started_us;
};
struct entry entry_begin(const char *name);
void entry_end(struct entry *entry);
#define ENTER() struct entry entry_scope __attribute__((cleanup(entry_end), unused)) = entry_begin(__func__)
const char *entry_name(void); /* of the exported function this thread is in, or the task it executes */
void entry_set_name(const char *name);

enum counter { COUNT_CALLS, COUNT_LAUNCHES, COUNT_COPIES, COUNT_REPLAYS, COUNT_TASKS, COUNT_DEVICE_NS, COUNT_KINDS };
void count_add(enum counter counter, uint64_t amount);
uint64_t count_get(enum counter counter);
bool trace_is_on(void);
void trace_device(unsigned device, int stream, const char *name, const char *arguments, double start_ns, double duration_ns);

/* ---- faults on command (fault.c) ---- */
enum fault {
    FAULT_NONE,
    FAULT_OOM,
    FAULT_CAPTURE,
    FAULT_UPDATE,
    FAULT_ECC,
    FAULT_UCE,
    FAULT_HEARTBEAT,
    FAULT_TIMEOUT,
    FAULT_EXCEPTION,
    FAULT_VECTOR,
    FAULT_AICPU,
    FAULT_DMA,
    FAULT_LINK,
    FAULT_HANG,
    FAULT_SLOW,
    FAULT_BIT,
    FAULT_KINDS
};
void fault_at_call(uint64_t call);
bool fault_take_oom(void);
bool fault_take_call(enum fault kind);     /* FAULT_CAPTURE, FAULT_UPDATE */
const char *fault_order(const char *text); /* takes one more order; NULL, or what is wrong with it */
void fault_clear(void);
enum fault fault_take_task(void);
int fault_code(enum fault fault); /* what the next synchronisation returns; 0 for those that are no errors */
const char *fault_text(enum fault fault);

/* ---- handles (object.c) ---- */
void control_start(void); /* orders to a running process (control.c) */
void control_stop(void);

enum object_kind {
    OBJECT_CONTEXT,
    OBJECT_STREAM,
    OBJECT_EVENT,
    OBJECT_GRAPH,
    OBJECT_TASK_GROUP,
    OBJECT_TENSOR,
    OBJECT_SCALAR,
    OBJECT_INT_ARRAY,
    OBJECT_FLOAT_ARRAY,
    OBJECT_BOOL_ARRAY,
    OBJECT_TENSOR_LIST,
    OBJECT_SCALAR_LIST,
    OBJECT_EXECUTOR,
    OBJECT_PHYSICAL,
    OBJECT_KINDS
};
struct object {
    enum object_kind kind;
    uint64_t id;
    const char *maker; /* the call that created it, for the list of leaks */
    struct object *next;
};
void object_add(struct object *object, enum object_kind kind);
bool object_is(const void *handle, enum object_kind kind);   /* live and of that kind; the handle may be garbage */
bool object_take(const void *handle, enum object_kind kind); /* forgets it; false: it was not live. The owner frees the memory */
int object_refuse(const void *handle, enum object_kind kind);
unsigned object_list_leaks(void);

/* ---- device memory (memory.c) ---- */
struct device {
    int index;
    uint64_t capacity, used;
    uint64_t window, window_size, cursor; /* reserved addresses */
    int set_count;
    struct context *primary;
    int lost; /* the code that every call on the device gets until it is reset; 0: healthy */
    char lost_message[256];
    int last_fault; /* of any of its tasks; 0: none since the last repair or reset */
    bool aborted;   /* since the device was lost */
    void *damaged;  /* by an uncorrectable memory error: overwritten */
    size_t damaged_bytes;
    uint64_t resets; /* what was made before a reset, a graph for example, is of no use after it */
    unsigned peers;  /* bit mask of devices whose memory it may reach */
};
struct block; /* one allocation */
struct device *device_at(int index);
void memory_reserve_windows(void);
int memory_allocate(struct device *device, uint64_t size, uint64_t charged, void **pointer);
int memory_free(struct device *device, void *pointer);
void memory_free_all(struct device *device);
/* Device address -> contents, pinned against a concurrent free. On failure the reason lies in why[160]. */
struct block *memory_pin(struct device *device, uint64_t address, uint64_t bytes, unsigned char **contents, char why[160]);
bool memory_unpin(struct block *block); /* false: it was freed while in use */
bool memory_is_device(const void *pointer, int *device, void **base, size_t *size);
bool memory_is_pinned_host(const void *pointer, size_t size);
unsigned memory_list_leaks(void);
/* Memory shared with other processes: a mapping of a header of this many bytes, then the contents. Sharing replaces a buffer's contents by the mapping. */
#define MEMORY_SHARED_HEADER 4096
int memory_share(void *pointer, uint64_t size, unsigned char *mapping, uint64_t mapped);
int memory_import(struct device *device, uint64_t size, unsigned char *mapping, uint64_t mapped, void **pointer);
/* Reserved addresses, with parts of files mapped into them (virtual_memory.c). */
int memory_charge(struct device *device, uint64_t bytes); /* takes it from the capacity, or fails */
void memory_discharge(struct device *device, uint64_t bytes);
int memory_reserve(struct device *device, uint64_t size, void **pointer);
int memory_release(void *pointer);
int memory_map(void *pointer, uint64_t size, const struct device *device, int file);
int memory_unmap(void *pointer);
void virtual_memory_reset(struct device *device);
void memory_damage(struct device *device); /* overwrites a part of a buffer and remembers where; with emulator_lock */
uint64_t memory_allocated(void);
uint64_t memory_free_bytes(const struct device *device);

/* ---- contexts, streams, tasks (runtime.c, stream.c) ---- */
struct context {
    struct object object;
    struct device *device;
    struct stream *default_stream;
    bool stop_on_failure;
    int stopped; /* the code everything in this context gets since a failure under stop-on-failure */
};

enum task_kind { TASK_KERNEL, TASK_COPY, TASK_SET, TASK_EVENT_RECORD, TASK_EVENT_WAIT, TASK_EVENT_RESET, TASK_HOST, TASK_GRAPH };

struct task {
    struct task *next;
    enum task_kind kind;
    const char *name;
    int (*run)(struct task *task, struct stream *stream); /* 0 or a code with its message in fail_message(); may run many times in a graph */
    void (*release)(struct task *task);                   /* frees the payload; NULL: nothing to free */
    void *payload;
    char *description; /* shapes, for the trace; NULL when there is no trace */
    double modelled_ns;
    enum fault fault;
};

struct capture;

struct stream {
    struct object object;
    struct context *context;
    struct stream *next; /* all streams */
    pthread_t thread;
    bool started, closing, aborting, failure_mode_set, busy;
    uint32_t flags;
    struct task *head, *tail;
    pthread_cond_t posted;
    uint64_t submitted, completed;
    int fault; /* late error, reported by the next synchronisation */
    char fault_message[512];
    double clock_ns; /* modelled */
    struct capture *capture;
    unsigned capture_index;
    struct capture_update *update; /* between TaskUpdateBegin and End */
};

extern pthread_mutex_t emulator_lock;
extern pthread_cond_t emulator_progress; /* a task ended, an event was recorded, a device was reset */

int runtime_check(struct context **context);                           /* initialised, a current context, a device that lives */
int stream_check(aclrtStream handle, struct stream **stream);          /* the same, and a stream of this context */
struct stream *stream_create(struct context *context, uint32_t flags); /* NULL: no more streams */
void stream_destroy(struct stream *stream, bool drop);                 /* waits for pending work, or drops it */
int stream_submit(struct stream *stream, struct task *task);           /* takes the task; into the graph while capturing */
int stream_wait(struct stream *stream, int32_t timeout);               /* -1: forever; returns and clears the late error */
int stream_take_fault(struct stream *stream);
int streams_wait_context(struct context *context, int32_t timeout); /* every stream of the context's device */
void streams_destroy_context(struct context *context);
void streams_abort_device(struct device *device);
unsigned stream_count(const struct device *device);
struct task *task_create(enum task_kind kind, const char *name, size_t payload_size);
void task_release(struct task *task);
int task_execute(struct task *task, struct stream *stream);
bool wait_until(struct timespec *deadline); /* emulator_progress, with emulator_lock held; false: the time is over; NULL: no limit */
struct timespec deadline_after(int32_t milliseconds);

/* ---- events (event.c) ---- */
enum event_maker { EVENT_PLAIN, EVENT_FLAGGED, EVENT_EX };
#define CAPTURE_STREAMS 32
struct event {
    struct object object;
    struct device *device;
    enum event_maker maker;
    uint32_t flags;
    unsigned references;
    bool was_reset;
    uint64_t issued, completed; /* records */
    double time_ns;             /* modelled, of the newest completed record */
    struct capture *capture;    /* the record of a running capture it carries */
    uint64_t covers[CAPTURE_STREAMS];
};
void event_unreference(struct event *event); /* with emulator_lock held */
unsigned event_count(const struct device *device);

/* ---- callbacks, exceptions (report.c); with emulator_lock held ---- */
void reports_forget(const struct stream *stream);
void exception_report(const struct stream *stream, int code); /* releases the lock while the program's function runs */

/* ---- capture (capture.c); all with emulator_lock held ---- */
int capture_add(struct stream *stream, struct task *task);
int capture_record(struct stream *stream, struct event *event);
int capture_wait(struct stream *stream, struct event *event);
int capture_refuses_sync_copy(void); /* 0 or 107030 */
int capture_refuses_pageable(void);  /* 0 or 107041 */
bool capture_in_context(const struct context *context);
void capture_invalidate(struct capture *capture);
int capture_update_add(struct stream *stream, struct task *task);
void capture_abandon(struct stream *stream); /* the stream goes away: so does a capture it takes part in, or an update */

extern __thread bool in_callback;
extern int64_t deterministic_level;
extern uint32_t op_execute_milliseconds, op_wait_seconds; /* with emulator_lock; 0: no limit was set */

#endif
