/* The trace: valid JSON, one event for every call of the program and for every task of the devices, with shapes and modelled time. A child makes it, so that it
 * is complete when it is read. */
#include "tests/golden.h"

#include <sys/wait.h>

static int work(void)
{
    n_failed = 0;
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    aclTensor *a = pattern_tensor(DIMS(64, 128), ACL_BF16, 1, 1), *b = pattern_tensor(DIMS(128, 256), ACL_BF16, 2, 1);
    aclTensor *out = pattern_tensor(DIMS(64, 256), ACL_BF16, 0, 0);
    RUN(Mm, a, b, out, 0);
    aclmdlRI graph;
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_OK(aclnnNegGetWorkspaceSize(a, a, &size, &executor));
    CHECK_OK(aclnnNeg(NULL, size, executor, stream));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    for (int i = 0; i < 3; i++)
        CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclmdlRIDestroy(graph));
    return n_failed;
}

/* ---- a reader of JSON that accepts nothing else; NULL: not JSON ---- */
static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at && *at != '"'; at++) {
        if ((unsigned char)*at < 0x20 || (*at == '\\' && !strchr("\"\\/bfnrtu", *++at)))
            return NULL;
    }
    return *at == '"' ? at + 1 : NULL;
}

static const char *skip_number(const char *at)
{
    const char *digits = at + (*at == '-');
    size_t whole = strspn(digits, "0123456789");
    if (!whole || (whole > 1 && *digits == '0'))
        return NULL;
    at = digits + whole;
    if (*at == '.') {
        size_t part = strspn(at + 1, "0123456789");
        at = part ? at + 1 + part : NULL;
    }
    return at;
}

static const char *skip_value(const char *at, int depth);

static const char *skip_members(const char *at, bool object, int depth)
{
    char close = object ? '}' : ']';
    at = skip_space(at + 1);
    if (*at == close)
        return at + 1;
    for (;;) {
        if (object) {
            at = skip_string(at);
            at = at ? skip_space(at) : NULL;
            if (!at || *at++ != ':')
                return NULL;
        }
        at = skip_value(skip_space(at), depth + 1);
        at = at ? skip_space(at) : NULL;
        if (!at || (*at != ',' && *at != close))
            return NULL;
        if (*at == close)
            return at + 1;
        at = skip_space(at + 1);
    }
}

static const char *skip_value(const char *at, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    if (depth > 16)
        return NULL;
    if (*at == '{' || *at == '[')
        return skip_members(at, *at == '{', depth);
    if (*at == '"')
        return skip_string(at);
    for (int i = 0; i < 3; i++)
        if (!strncmp(at, words[i], strlen(words[i])))
            return at + strlen(words[i]);
    return skip_number(at);
}

static unsigned occurrences(const char *text, const char *words)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, words)); at += strlen(words))
        count++;
    return count;
}

int main(void)
{
    static char text[1 << 20];
    char path[] = "/tmp/emulator-trace-XXXXXX";
    int descriptor = mkstemp(path), status = 1;
    CHECK(descriptor >= 0);
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
    fflush(NULL);
    pid_t process = fork();
    if (!process) {
        setenv("ASCEND_EMULATOR_TRACE", path, 1);
        exit(work());
    }
    waitpid(process, &status, 0);
    CHECK(status == 0);
    ssize_t length = read(descriptor, text, sizeof text - 1);
    CHECK(length > 0);
    const char *end = skip_value(text, 0);
    CHECK(end && !*skip_space(end));
    CHECK(*text == '[' && occurrences(text, "\"ph\":\"X\"") > 20);
    CHECK(occurrences(text, "\"name\":\"aclmdlRIExecuteAsync\"") == 3);
    CHECK(occurrences(text, "\"name\":\"aclnnNeg\",\"ph\":\"X\",\"pid\":1") == 3); /* device 0: once for each replay */
    CHECK(occurrences(text, "\"name\":\"aclnnNeg\",\"ph\":\"X\",\"pid\":0") == 1);
    CHECK(strstr(text, "self bf16[64,128], mat2 bf16[128,256], out bf16[64,256]"));
    CHECK(strstr(text, "\"device 0: Ascend910B4 (modelled time)\""));
    CHECK(!skip_value("[1,]", 0) && !skip_value("{\"a\" 1}", 0) && !skip_value("[01]", 0) &&
          skip_value("[{\"a\":[1.5,-2,\"x\"]},null]", 0)); /* the reader is strict */
    if (descriptor >= 0)
        close(descriptor);
    unlink(path);
    return checks_failed();
}
