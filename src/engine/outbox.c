#include "engine/outbox.h"

#include <inttypes.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"

int outbox_init(struct outbox *outbox, int32_t capacity, int32_t max_queued, struct error *err)
{
    *outbox = (struct outbox){.capacity = capacity, .max_queued = max_queued, .n_free = capacity, .descriptor = -1};
    outbox->table = mem_zalloc_array((size_t)capacity, sizeof(struct stream *));
    outbox->free_places = mem_alloc_array((size_t)capacity, sizeof *outbox->free_places);
    if (!outbox->table || !outbox->free_places || pthread_mutex_init(&outbox->lock, NULL))
        goto no_memory;
    if (condition_init(&outbox->changed)) {
        pthread_mutex_destroy(&outbox->lock);
        goto no_memory;
    }
    for (int32_t i = 0; i < capacity; i++)
        outbox->free_places[i] = capacity - 1 - i;
    outbox->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outbox->descriptor < 0) {
        outbox_free(outbox);
        return error_set(err, SAMPAN_EIO, "making the engine's event descriptor: the system has none left; raise the limit of open files (ulimit -n)");
    }
    return 0;
no_memory:
    mem_free(outbox->table);
    mem_free(outbox->free_places);
    *outbox = (struct outbox){0};
    return error_no_memory(err, "making the engine's outbox");
}

void outbox_free(struct outbox *outbox)
{
    if (!outbox->table)
        return;
    for (int32_t i = 0; i < outbox->capacity; i++)
        stream_free(outbox->table[i]);
    if (outbox->descriptor >= 0)
        close(outbox->descriptor);
    pthread_cond_destroy(&outbox->changed);
    pthread_mutex_destroy(&outbox->lock);
    mem_free(outbox->table);
    mem_free(outbox->free_places);
    *outbox = (struct outbox){0};
}

/* ---- Under the lock. */

static struct stream *find_stream(const struct outbox *outbox, uint64_t id)
{
    struct stream *stream = outbox->table[id % (uint64_t)outbox->capacity];
    return stream && stream->id == id ? stream : NULL;
}

static void drop_reference(struct outbox *outbox, struct stream *stream)
{
    if (--stream->references > 0)
        return;
    int32_t place = (int32_t)(stream->id % (uint64_t)outbox->capacity);
    outbox->table[place] = NULL;
    outbox->free_places[outbox->n_free++] = place;
    stream_free(stream);
}

static void add_ready(struct outbox *outbox, struct stream *stream)
{
    if (stream->ready || stream->released || stream->given_up)
        return;
    stream->ready = true;
    stream->ready_previous = outbox->ready_last;
    stream->ready_next = NULL;
    if (outbox->ready_last)
        outbox->ready_last->ready_next = stream;
    else {
        outbox->ready_first = stream;
        eventfd_write(outbox->descriptor, 1);
        pthread_cond_signal(&outbox->changed);
    }
    outbox->ready_last = stream;
}

static void remove_ready(struct outbox *outbox, struct stream *stream)
{
    if (!stream->ready)
        return;
    stream->ready = false;
    if (stream->ready_previous)
        stream->ready_previous->ready_next = stream->ready_next;
    else
        outbox->ready_first = stream->ready_next;
    if (stream->ready_next)
        stream->ready_next->ready_previous = stream->ready_previous;
    else
        outbox->ready_last = stream->ready_previous;
    if (!outbox->ready_first) {
        eventfd_t count;
        eventfd_read(outbox->descriptor, &count);
    }
}

/* The inbox has room for every message that can be under way, so a push cannot fail: see engine_create. */
static void send_cancel(struct stream *stream, struct queue *inbox)
{
    if (stream->cancelled || stream->shared.finish != FINISH_NONE)
        return;
    struct engine_message message = {MESSAGE_CANCEL, stream};
    if (queue_push(inbox, &message) == 0) {
        stream->cancelled = true;
        stream->references++;
    }
}

/* ---- Callers. */

static int check_room(const struct outbox *outbox, struct error *err)
{
    if (outbox->dead)
        return error_set(err, outbox->dead, "the engine has stopped: %s", outbox->dead_message);
    if (outbox->n_queued >= outbox->max_queued)
        return error_set(err, SAMPAN_EBUSY, "%d requests are waiting already, the most that may; try again later", outbox->n_queued);
    if (outbox->n_free == 0)
        return error_set(err, SAMPAN_EBUSY, "%d streams are held, the most that may be; release those that have ended", outbox->capacity);
    return 0;
}

int outbox_add(struct outbox *outbox, struct stream *stream, struct queue *inbox, uint64_t *id, struct error *err)
{
    pthread_mutex_lock(&outbox->lock);
    int status = check_room(outbox, err);
    if (!status) {
        /* Complete before it is pushed: the engine may have it the moment after. */
        int32_t place = outbox->free_places[outbox->n_free - 1];
        stream->id = (outbox->ordinal + 1) * (uint64_t)outbox->capacity + (uint64_t)place;
        stream->references = 2;
        stream->queued = true;
        *id = stream->id;
        struct engine_message message = {MESSAGE_SUBMIT, stream};
        if (queue_push(inbox, &message)) {
            status = error_set(err, SAMPAN_EBUSY, "the engine has not taken in earlier requests yet; try again later");
        } else {
            outbox->ordinal++;
            outbox->n_free--;
            outbox->n_queued++;
            outbox->table[place] = stream;
        }
    }
    pthread_mutex_unlock(&outbox->lock);
    return status;
}

void outbox_cancel(struct outbox *outbox, uint64_t id, struct queue *inbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct stream *stream = find_stream(outbox, id);
    if (stream)
        send_cancel(stream, inbox);
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_release(struct outbox *outbox, uint64_t id, struct queue *inbox)
{
    pthread_mutex_lock(&outbox->lock);
    struct stream *stream = find_stream(outbox, id);
    if (stream && !stream->released) {
        stream->released = true;
        remove_ready(outbox, stream);
        send_cancel(stream, inbox);
        drop_reference(outbox, stream);
    }
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_give_up(struct outbox *outbox, struct stream *stream, struct queue *inbox)
{
    pthread_mutex_lock(&outbox->lock);
    stream->given_up = true;
    remove_ready(outbox, stream);
    send_cancel(stream, inbox);
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- The engine. */

static void leave_queue(struct outbox *outbox, struct stream *stream)
{
    if (stream->queued)
        outbox->n_queued--;
    stream->queued = false;
}

void outbox_publish(struct outbox *outbox, struct stream *stream)
{
    pthread_mutex_lock(&outbox->lock);
    stream->shared = stream->progress;
    if (stream->progress.finish != FINISH_NONE)
        leave_queue(outbox, stream);
    add_ready(outbox, stream);
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_admitted(struct outbox *outbox, struct stream *stream)
{
    pthread_mutex_lock(&outbox->lock);
    leave_queue(outbox, stream);
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_drop_reference(struct outbox *outbox, struct stream *stream)
{
    pthread_mutex_lock(&outbox->lock);
    drop_reference(outbox, stream);
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- The reader. */

struct stream *outbox_take_ready(struct outbox *outbox, uint64_t timeout_ns, struct stream_progress *progress)
{
    struct timespec deadline = condition_deadline(timeout_ns);
    pthread_mutex_lock(&outbox->lock);
    while (!outbox->ready_first && timeout_ns)
        if (!condition_wait_until(&outbox->changed, &outbox->lock, timeout_ns, &deadline))
            break;
    struct stream *stream = outbox->ready_first;
    if (stream) {
        remove_ready(outbox, stream);
        stream->references++;
        *progress = stream->shared;
    }
    pthread_mutex_unlock(&outbox->lock);
    return stream;
}
