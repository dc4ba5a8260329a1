/* Many requests at once in one thread: an event loop over standard input and sampan's descriptor.
 *
 *     printf 'The sea is\nOnce upon a time\n' | event_loop MODEL
 *
 * Each line read becomes a request the moment it is there, whatever else is running; when an answer is complete it is printed with the number of its line.
 * This is how a server is built: poll the descriptor beside your sockets, read events while there are any, never wait for one request. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sampan.h>

enum { MAX_RUNNING = 64, LINE_BYTES = 4096 };

struct job {
    uint64_t request; /* 0: free; ids are never 0 */
    int line;
    char text[LINE_BYTES]; /* of the answer so far */
    size_t length;
};

struct loop {
    sampan_model *model;
    sampan_engine *engine;
    struct job jobs[MAX_RUNNING];
    int n_running, n_lines;
    char input[LINE_BYTES]; /* what was read and is no whole line yet */
    size_t n_input;
    int input_ended;
    int status;
};

static void complain(struct loop *loop, int line, const char *message)
{
    fprintf(stderr, "event_loop: line %d: %s\n", line, message);
    loop->status = 1;
}

static struct job *find_job(struct loop *loop, uint64_t request)
{
    for (int i = 0; i < MAX_RUNNING; i++)
        if (loop->jobs[i].request == request)
            return &loop->jobs[i];
    return NULL;
}

/* A line becomes a request. There is a free job: lines are read only then. */
static void submit_line(struct loop *loop, const char *text, size_t length)
{
    struct sampan_request request = {.size = sizeof request};
    struct job *job = find_job(loop, 0);
    int32_t *prompt;
    loop->n_lines++;
    if (sampan_tokenize(loop->model, text, length, SAMPAN_TOKENIZE_BOS_EOS, &prompt, &request.n_prompt)) {
        complain(loop, loop->n_lines, sampan_error_message());
        return;
    }
    request.prompt = prompt;
    request.max_tokens = 32;
    if (sampan_submit(loop->engine, &request, &job->request)) { /* an empty line, one beyond the context, ... */
        complain(loop, loop->n_lines, sampan_error_message());
    } else {
        job->line = loop->n_lines;
        job->length = 0;
        loop->n_running++;
    }
    sampan_free(prompt); /* the request has its own copy */
}

/* Whole lines in what was read so far, as many as there is room for. */
static void take_lines(struct loop *loop)
{
    char *end;
    while (loop->n_running < MAX_RUNNING && loop->n_input > 0) {
        end = memchr(loop->input, '\n', loop->n_input);
        if (!end && !loop->input_ended && loop->n_input < LINE_BYTES)
            return;
        size_t length = end ? (size_t)(end - loop->input) : loop->n_input, used = length + (end != NULL);
        submit_line(loop, loop->input, length);
        loop->n_input -= used;
        memmove(loop->input, loop->input + used, loop->n_input);
    }
}

static void read_input(struct loop *loop)
{
    ssize_t n = read(STDIN_FILENO, loop->input + loop->n_input, LINE_BYTES - loop->n_input);
    if (n <= 0)
        loop->input_ended = 1;
    else
        loop->n_input += (size_t)n;
}

static void take_event(struct loop *loop, const struct sampan_event *event)
{
    struct job *job = find_job(loop, event->request);
    size_t room = LINE_BYTES - job->length, n = event->text_length < room ? event->text_length : room;
    memcpy(job->text + job->length, event->text, n);
    job->length += n;
    if (event->finish == SAMPAN_FINISH_NONE)
        return;
    if (event->finish == SAMPAN_FINISH_ERROR)
        complain(loop, job->line, event->message);
    else
        printf("%d: %.*s\n", job->line, (int)job->length, job->text);
    fflush(stdout);
    sampan_release(loop->engine, job->request); /* every submitted request needs it, once */
    job->request = 0;
    loop->n_running--;
}

static int run_loop(struct loop *loop)
{
    struct sampan_event event = {.size = sizeof event};
    while (!loop->input_ended || loop->n_running || loop->n_input) {
        int may_read = !loop->input_ended && loop->n_running < MAX_RUNNING && loop->n_input < LINE_BYTES;
        struct pollfd ready[2] = {{.fd = sampan_descriptor(loop->engine), .events = POLLIN}, {.fd = may_read ? STDIN_FILENO : -1, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0)
            return 1;
        if (ready[1].revents)
            read_input(loop);
        while (sampan_next_event(loop->engine, 0, &event) == 0) /* 0: do not wait, poll did */
            take_event(loop, &event);
        take_lines(loop);
    }
    return loop->status;
}

int main(int argc, char **argv)
{
    static struct loop loop;
    struct sampan_engine_options options = {.size = sizeof options};
    if (argc != 2) {
        fprintf(stderr, "usage: event_loop MODEL < LINES\n");
        return 2;
    }
    options.max_sequences = 8; /* requests computed together; more wait in the queue */
    options.context = 512;     /* tokens of one request */
    if (sampan_model_open(argv[1], &loop.model) || sampan_engine_open(loop.model, &options, &loop.engine)) {
        fprintf(stderr, "event_loop: %s\n", sampan_error_message());
        loop.status = 1;
    } else {
        loop.status = run_loop(&loop);
    }
    sampan_engine_close(loop.engine);
    sampan_model_close(loop.model);
    return loop.status;
}
