/* Capture and replay (aclmdlRI*). A captured stream's tasks are kept instead of queued; a replay runs them one after another in the order of capture,
 * which respects every dependency because a wait can only name an earlier record. What a task was given - addresses, shapes, attributes, host arrays -
 * was copied when it was enqueued and is what every replay uses. Which side streams were joined back is followed with one counter per stream, as vector
 * clocks do. */
#include "emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct graph {
    struct object object;
    struct device *device;
    uint64_t resets; /* of the device, when the capture began */
    struct task **tasks;
    size_t n_tasks, max_tasks;
    struct task_group *groups;
    unsigned running;     /* replays queued or executing */
    pthread_mutex_t lock; /* held while a replay runs or an update is put in */
};

struct capture {
    struct capture *next;
    struct graph *graph;
    aclmdlRICaptureMode mode;
    pthread_t thread;
    bool invalidated;
    struct stream *streams[CAPTURE_STREAMS]; /* [0] is the one that began */
    unsigned n_streams;
    uint64_t known[CAPTURE_STREAMS][CAPTURE_STREAMS]; /* known[a][b]: how much of b's work lies before a's next task */
    struct event **events;
    size_t n_events;
    size_t group_first;
    struct stream *group_stream; /* between TaskGrpBegin and End */
};

struct task_group {
    struct object object;
    struct task_group *next;
    struct graph *graph;
    size_t first, count;
};

struct capture_update {
    struct task_group *group;
    struct task **tasks;
    size_t count;
};

static struct capture *captures;
static __thread aclmdlRICaptureMode thread_mode = ACL_CAPTURE_GLOBAL;

static void graph_release(struct graph *graph)
{
    for (size_t i = 0; i < graph->n_tasks; i++)
        task_release(graph->tasks[i]);
    for (struct task_group *group = graph->groups, *next; group; group = next) {
        next = group->next;
        object_take(group, OBJECT_TASK_GROUP);
        free(group);
    }
    free(graph->tasks);
    pthread_mutex_destroy(&graph->lock);
    free(graph);
}

int capture_add(struct stream *stream, struct task *task)
{
    struct capture *capture = stream->capture;
    struct graph *graph = capture->graph;
    if (graph->n_tasks == graph->max_tasks) {
        size_t larger = graph->max_tasks ? 2 * graph->max_tasks : 64;
        struct task **grown = realloc(graph->tasks, larger * sizeof *grown);
        if (!grown) {
            task_release(task);
            return fail(RT_MEMORY_ALLOCATION, "no host memory for a captured task");
        }
        graph->tasks = grown;
        graph->max_tasks = larger;
    }
    graph->tasks[graph->n_tasks++] = task;
    capture->known[stream->capture_index][stream->capture_index]++;
    return 0;
}

void capture_invalidate(struct capture *capture)
{
    if (capture)
        capture->invalidated = true;
}

int capture_record(struct stream *stream, struct event *event)
{
    struct capture *capture = stream->capture;
    struct event **grown = realloc(capture->events, (capture->n_events + 1) * sizeof *grown);
    if (!grown)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a captured record");
    capture->events = grown;
    capture->events[capture->n_events++] = event;
    event->references++;
    event->capture = capture;
    memcpy(event->covers, capture->known[stream->capture_index], sizeof event->covers);
    return 0;
}

int capture_wait(struct stream *stream, struct event *event)
{
    struct capture *capture = event->capture;
    if (!capture) {
        capture_invalidate(stream->capture);
        return fail(RT_CAPTURE_DEPENDENCY, "the stream is being captured, but the event was recorded outside the capture");
    }
    if (stream->capture && stream->capture != capture) {
        capture_invalidate(capture);
        capture_invalidate(stream->capture);
        return fail(RT_CAPTURE_CONFLICT, "the event belongs to another capture than the stream");
    }
    if (!stream->capture) {
        if (capture->n_streams == CAPTURE_STREAMS)
            return fail(RT_NO_STREAM_RESOURCE, "more than %d streams in one capture", CAPTURE_STREAMS);
        if (stream->completed < stream->submitted && stream->flags & ACL_STREAM_PERSISTENT)
            return fail(RT_INTERNAL_ERROR, "a persistent stream cannot join a capture");
        stream->capture = capture;
        stream->capture_index = capture->n_streams;
        capture->streams[capture->n_streams] = stream;
        capture->known[capture->n_streams][capture->n_streams] = 1; /* to be joined back, even if it does nothing */
        capture->n_streams++;
    }
    uint64_t *known = capture->known[stream->capture_index];
    for (unsigned i = 0; i < CAPTURE_STREAMS; i++)
        if (known[i] < event->covers[i])
            known[i] = event->covers[i];
    return 0;
}

static int refuse_while_capturing(int code, const char *what)
{
    if (thread_mode == ACL_CAPTURE_RELAXED)
        return 0;
    for (struct capture *c = captures; c; c = c->next)
        if (c->mode == ACL_CAPTURE_GLOBAL || (c->mode == ACL_CAPTURE_THREAD_LOCAL && pthread_equal(c->thread, pthread_self()))) {
            capture_invalidate(c);
            return fail(code, "%s while a stream is being captured in mode %s", what, c->mode == ACL_CAPTURE_GLOBAL ? "GLOBAL" : "THREAD_LOCAL");
        }
    return 0;
}

int capture_refuses_sync_copy(void)
{
    return refuse_while_capturing(RT_CAPTURE_MODE_NOT_SUPPORT, "synchronous copies and sets are refused");
}

int capture_refuses_pageable(void)
{
    return refuse_while_capturing(RT_CAPTURE_MODE_BLOCK_ASYNC, "an asynchronous copy with host memory that is not from aclrtMallocHost is refused");
}

bool capture_in_context(const struct context *context)
{
    for (struct capture *c = captures; c; c = c->next)
        if (c->graph->device == context->device)
            return true;
    return false;
}

static int begin_locked(struct stream *stream, aclmdlRICaptureMode mode)
{
    if (stream->flags & ACL_STREAM_PERSISTENT)
        return fail(RT_INTERNAL_ERROR, "a stream created with flag PERSISTENT cannot be captured");
    if (stream->capture) {
        capture_invalidate(stream->capture);
        return fail(RT_STREAM_CAPTURED, "the stream is being captured already");
    }
    struct capture *capture = calloc(1, sizeof *capture);
    struct graph *graph = calloc(1, sizeof *graph);
    if (!capture || !graph) {
        free(capture);
        free(graph);
        return fail(RT_MEMORY_ALLOCATION, "no host memory for a capture");
    }
    pthread_mutex_init(&graph->lock, NULL);
    graph->device = stream->context->device;
    graph->resets = graph->device->resets;
    capture->graph = graph;
    capture->mode = mode;
    capture->thread = pthread_self();
    capture->streams[0] = stream;
    capture->n_streams = 1;
    capture->next = captures;
    captures = capture;
    stream->capture = capture;
    stream->capture_index = 0;
    return 0;
}

EXPORT aclError aclmdlRICaptureBegin(aclrtStream handle, aclmdlRICaptureMode mode)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!handle)
        return fail(RT_PARAM_INVALID, "the default stream (NULL) cannot be captured; create a stream");
    if ((int)mode < 0 || mode > ACL_CAPTURE_RELAXED)
        return fail(RT_PARAM_INVALID, "mode is %d; 0 (global), 1 (thread local) or 2 (relaxed) is expected", (int)mode);
    if (fault_take_call(FAULT_CAPTURE))
        return fail(RT_FEATURE_NOT_SUPPORT, "%s (ordered by ASCEND_EMULATOR_FAULT)", fault_text(FAULT_CAPTURE));
    pthread_mutex_lock(&emulator_lock);
    result = begin_locked(stream, mode);
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

/* With the lock: streams and events leave the capture; the graph stays. */
static void capture_close(struct capture *capture)
{
    for (unsigned i = 0; i < capture->n_streams; i++)
        capture->streams[i]->capture = NULL;
    for (size_t i = 0; i < capture->n_events; i++) {
        if (capture->events[i]->capture == capture)
            capture->events[i]->capture = NULL;
        event_unreference(capture->events[i]);
    }
    for (struct capture **at = &captures; *at; at = &(*at)->next)
        if (*at == capture) {
            *at = capture->next;
            break;
        }
    free(capture->events);
    free(capture);
}

static int check_end(struct stream *stream)
{
    struct capture *capture = stream->capture;
    if (!capture)
        return fail(RT_STREAM_NOT_CAPTURED, "the stream is not being captured");
    if (capture->streams[0] != stream)
        return fail(RT_STREAM_CAPTURE_UNMATCHED, "this stream joined the capture; it ends on the stream that began it");
    if (capture->mode != ACL_CAPTURE_RELAXED && !pthread_equal(capture->thread, pthread_self()))
        return fail(RT_STREAM_CAPTURE_WRONG_THREAD, "the capture was begun by another thread (allowed in mode RELAXED only)");
    return 0;
}

static int find_unjoined(const struct capture *capture)
{
    for (unsigned i = 1; i < capture->n_streams; i++)
        if (capture->known[0][i] < capture->known[i][i])
            return fail(RT_STREAM_UNJOINED, "side stream %u of the capture was not joined back: record an event on it and let the first stream wait for it", i);
    return 0;
}

EXPORT aclError aclmdlRICaptureEnd(aclrtStream handle, aclmdlRI *model)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!model)
        return fail(RT_PARAM_INVALID, "modelRI is NULL");
    *model = NULL;
    pthread_mutex_lock(&emulator_lock);
    struct graph *graph = NULL;
    result = check_end(stream);
    if (!result) {
        struct capture *capture = stream->capture;
        graph = capture->graph;
        if (capture->invalidated)
            result = fail(RT_STREAM_CAPTURE_INVALIDATED, "a call that is refused during capture was made; nothing was captured");
        else if (capture->group_stream)
            result = fail(RT_TASK_GROUP_STATUS, "a task group was begun and not ended");
        else
            result = find_unjoined(capture);
        capture_close(capture);
    }
    pthread_mutex_unlock(&emulator_lock);
    if (result && graph)
        graph_release(graph);
    if (result)
        return result;
    object_add(&graph->object, OBJECT_GRAPH);
    *model = graph;
    return 0;
}

EXPORT aclError aclmdlRICaptureGetInfo(aclrtStream handle, aclmdlRICaptureStatus *status, aclmdlRI *model)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (!status)
        return fail(RT_PARAM_INVALID, "status is NULL");
    pthread_mutex_lock(&emulator_lock);
    struct capture *capture = stream->capture;
    *status = !capture ? ACL_CAPTURE_NONE : capture->invalidated ? ACL_CAPTURE_INVALIDATED : ACL_CAPTURE_ACTIVE;
    if (model)
        *model = capture && !capture->invalidated ? capture->graph : NULL;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode *mode)
{
    ENTER();
    if (!mode || (int)*mode < 0 || *mode > ACL_CAPTURE_RELAXED)
        return fail(RT_PARAM_INVALID, "mode is NULL or outside 0..2");
    aclmdlRICaptureMode old = thread_mode;
    thread_mode = *mode;
    *mode = old;
    return 0;
}

static int run_graph(struct task *task, struct stream *stream)
{
    struct graph *graph = *(struct graph **)task->payload;
    int code = 0;
    pthread_mutex_lock(&graph->lock);
    size_t wrong = task->fault == FAULT_BIT ? graph->n_tasks / 2 : graph->n_tasks; /* which task of the graph computes a wrong bit */
    for (size_t i = 0; i < graph->n_tasks && !code; i++) {
        graph->tasks[i]->fault = i == wrong ? FAULT_BIT : FAULT_NONE;
        code = task_execute(graph->tasks[i], stream);
    }
    pthread_mutex_unlock(&graph->lock);
    return code;
}

static void release_replay(struct task *task)
{
    struct graph *graph = *(struct graph **)task->payload;
    pthread_mutex_lock(&emulator_lock);
    graph->running--;
    pthread_cond_broadcast(&emulator_progress);
    pthread_mutex_unlock(&emulator_lock);
}

static int replay(aclmdlRI model, aclrtStream handle, struct stream **stream)
{
    int result = stream_check(handle, stream);
    if (result)
        return result;
    struct graph *graph = model;
    if (!object_is(model, OBJECT_GRAPH))
        return object_refuse(model, OBJECT_GRAPH);
    if ((*stream)->capture)
        return fail(RT_FEATURE_NOT_SUPPORT, "a graph cannot be replayed into a stream that is being captured");
    if (graph->device != (*stream)->context->device)
        return fail(RT_STREAM_CONTEXT, "the graph was captured on device %d, the stream is on device %d", graph->device->index,
                    (*stream)->context->device->index);
    if (graph->resets != graph->device->resets)
        return fail(RT_INVALID_HANDLE, "device %d was reset since the graph was captured", graph->device->index);
    struct task *task = task_create(TASK_GRAPH, "aclmdlRIExecute", sizeof graph);
    if (task) {
        *(struct graph **)task->payload = graph;
        task->run = run_graph;
        task->release = release_replay;
        pthread_mutex_lock(&emulator_lock);
        graph->running++;
        pthread_mutex_unlock(&emulator_lock);
    }
    count_add(COUNT_REPLAYS, 1);
    return stream_submit(*stream, task);
}

EXPORT aclError aclmdlRIExecuteAsync(aclmdlRI model, aclrtStream handle)
{
    ENTER();
    struct stream *stream;
    return replay(model, handle, &stream);
}

EXPORT aclError aclmdlRIExecute(aclmdlRI model, int32_t timeout)
{
    ENTER();
    if (timeout == 0 || timeout < -1)
        return fail(RT_PARAM_INVALID, "timeout is %d ms; -1 or a positive number is expected", timeout);
    struct stream *stream;
    int result = replay(model, NULL, &stream);
    return result ? result : stream_wait(stream, timeout);
}

EXPORT aclError aclmdlRIDestroy(aclmdlRI model)
{
    ENTER();
    struct graph *graph = model;
    if (!object_is(model, OBJECT_GRAPH))
        return object_refuse(model, OBJECT_GRAPH);
    pthread_mutex_lock(&emulator_lock);
    while (graph->running && graph->device->lost) /* a lost device drops its tasks: a moment */
        wait_until(NULL);
    bool running = graph->running > 0;
    pthread_mutex_unlock(&emulator_lock);
    if (running)
        return fail(RT_MODEL_RUNNING, "the graph is still being replayed; synchronise its stream first");
    object_take(model, OBJECT_GRAPH);
    graph_release(graph);
    return 0;
}

EXPORT aclError aclmdlRIDebugPrint(aclmdlRI model)
{
    ENTER();
    struct graph *graph = model;
    if (!object_is(model, OBJECT_GRAPH))
        return object_refuse(model, OBJECT_GRAPH);
    for (size_t i = 0; i < graph->n_tasks; i++)
        printf("%4zu %-40s %10.1f us %s\n", i, graph->tasks[i]->name, graph->tasks[i]->modelled_ns * 1e-3,
               graph->tasks[i]->description ? graph->tasks[i]->description : "");
    return 0;
}

EXPORT aclError aclmdlRICaptureTaskGrpBegin(aclrtStream handle)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    struct capture *capture = stream->capture;
    if (!capture)
        result = fail(RT_STREAM_NOT_CAPTURED, "a task group is begun inside a capture");
    else if (capture->group_stream)
        result = fail(RT_TASK_GROUP_STATUS, "a task group is open already");
    else {
        capture->group_stream = stream;
        capture->group_first = capture->graph->n_tasks;
    }
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

EXPORT aclError aclmdlRICaptureTaskGrpEnd(aclrtStream handle, aclrtTaskGrp *group_handle)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    struct task_group *group = calloc(1, sizeof *group);
    if (!group || !group_handle) {
        free(group);
        return fail(RT_PARAM_INVALID, "handle is NULL");
    }
    pthread_mutex_lock(&emulator_lock);
    struct capture *capture = stream->capture;
    if (!capture || capture->group_stream != stream) {
        result = fail(RT_TASK_GROUP_STATUS, "no task group is open on this stream");
    } else {
        *group = (struct task_group){.graph = capture->graph, .first = capture->group_first, .count = capture->graph->n_tasks - capture->group_first};
        group->next = capture->graph->groups;
        capture->graph->groups = group;
        capture->group_stream = NULL;
    }
    pthread_mutex_unlock(&emulator_lock);
    if (result) {
        free(group);
        return result;
    }
    object_add(&group->object, OBJECT_TASK_GROUP);
    *group_handle = group; /* lives as long as the graph */
    return 0;
}

EXPORT aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream handle, aclrtTaskGrp group)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    if (fault_take_call(FAULT_UPDATE))
        return fail(RT_FEATURE_NOT_SUPPORT, "%s (ordered by ASCEND_EMULATOR_FAULT)", fault_text(FAULT_UPDATE));
    if (emulator_settings()->old_driver)
        return fail(RT_FEATURE_NOT_SUPPORT, "task update needs driver %s; the emulator plays an older one (ASCEND_EMULATOR_OLD_DRIVER)",
                    emulator_settings()->soc.family == SOC_310P ? "26.0.RC1" : "25.0.RC1");
    if (!object_is(group, OBJECT_TASK_GROUP))
        return object_refuse(group, OBJECT_TASK_GROUP);
    if (!object_is(((struct task_group *)group)->graph, OBJECT_GRAPH))
        return fail(RT_MODEL_UPDATE_FAILED, "the graph of this task group was destroyed or its capture has not ended");
    struct capture_update *update = calloc(1, sizeof *update);
    if (!update)
        return fail(RT_MEMORY_ALLOCATION, "no host memory for an update");
    update->group = group;
    update->tasks = calloc(update->group->count ? update->group->count : 1, sizeof *update->tasks);
    pthread_mutex_lock(&emulator_lock);
    bool busy = stream->update || stream->capture || !update->tasks;
    if (!busy)
        stream->update = update;
    pthread_mutex_unlock(&emulator_lock);
    if (busy) {
        free(update->tasks);
        free(update);
        return fail(RT_TASK_GROUP_STATUS, "the stream is being captured, or an update is open on it already");
    }
    return 0;
}

int capture_update_add(struct stream *stream, struct task *task)
{
    struct capture_update *update = stream->update;
    struct task_group *group = update->group;
    const struct task *old = update->count < group->count ? group->graph->tasks[group->first + update->count] : NULL;
    if (!old || old->kind != task->kind || strcmp(old->name, task->name)) {
        int result = fail(RT_MODEL_UPDATE_FAILED, "task %zu of the update is %s, the captured group has %s there", update->count, task->name,
                          old ? old->name : "no more tasks");
        task_release(task);
        return result;
    }
    update->tasks[update->count++] = task;
    return 0;
}

static int run_update(struct task *task, struct stream *stream)
{
    (void)stream;
    struct capture_update *update = *(struct capture_update **)task->payload;
    struct graph *graph = update->group->graph;
    pthread_mutex_lock(&graph->lock);
    for (size_t i = 0; i < update->count; i++) {
        struct task *old = graph->tasks[update->group->first + i];
        graph->tasks[update->group->first + i] = update->tasks[i];
        update->tasks[i] = old;
    }
    pthread_mutex_unlock(&graph->lock);
    return 0;
}

static void free_update(struct capture_update *update)
{
    for (size_t i = 0; i < update->count; i++)
        task_release(update->tasks[i]);
    free(update->tasks);
    free(update);
}

static void release_update(struct task *task)
{
    struct capture_update *update = *(struct capture_update **)task->payload;
    pthread_mutex_lock(&emulator_lock);
    update->group->graph->running--;
    pthread_mutex_unlock(&emulator_lock);
    free_update(update);
}

void capture_abandon(struct stream *stream)
{
    if (stream->update)
        free_update(stream->update);
    stream->update = NULL;
    if (!stream->capture)
        return;
    struct graph *graph = stream->capture->graph;
    capture_close(stream->capture);
    graph_release(graph);
}

EXPORT aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream handle)
{
    ENTER();
    struct stream *stream;
    int result = stream_check(handle, &stream);
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    struct capture_update *update = stream->update;
    stream->update = NULL;
    if (update)
        update->group->graph->running++;
    pthread_mutex_unlock(&emulator_lock);
    if (!update)
        return fail(RT_TASK_GROUP_STATUS, "no update is open on this stream");
    struct task *task = update->count == update->group->count ? task_create(TASK_HOST, "aclmdlRICaptureTaskUpdate", sizeof update) : NULL;
    if (!task) {
        result = fail(RT_MODEL_UPDATE_FAILED, "the update holds %zu tasks, the captured group %zu", update->count, update->group->count);
        pthread_mutex_lock(&emulator_lock);
        update->group->graph->running--;
        pthread_mutex_unlock(&emulator_lock);
        free_update(update);
        return result;
    }
    *(struct capture_update **)task->payload = update;
    task->run = run_update;
    task->release = release_update;
    return stream_submit(stream, task);
}
