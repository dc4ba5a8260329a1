/* The libraries as an engine opens them: by name at run time. Every symbol of the tables is found, what is missing says so, CANN 8.1's set lacks what
 * came later, leaks end the process with status 97 when asked, and the trace is a list of events. Each case is a process of its own. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ascend_api.h"
#include "operator_table.h"
#include "symbol_table.h"

static int n_failed;

#define CHECK(condition)                                                                                                                                       \
    do {                                                                                                                                                       \
        if (!(condition)) {                                                                                                                                    \
            n_failed++;                                                                                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                                                            \
        }                                                                                                                                                      \
    } while (0)

static void *open_library(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    void *library = dlopen(path, RTLD_LAZY);
    if (!library)
        fprintf(stderr, "%s: %s\n", path, dlerror());
    CHECK(library != NULL);
    return library;
}

static void find(void *library, const char *name)
{
    if (!dlsym(library, name)) {
        n_failed++;
        fprintf(stderr, "%s is not exported\n", name);
    }
}

#define FIND(name) find(library, #name);
#define FIND_LIMITED(name, limits) FIND(name)
#define FIND_OPERATOR(name) FIND(aclnn##name) FIND(aclnn##name##GetWorkspaceSize)
#define FIND_ROW(name, ...) FIND_OPERATOR(name)

/* A function pointer of the type of `type`, from a library. */
#define LOOK_UP(library, name, type) ((type)dlsym(library, name))
typedef int (*no_arguments)(void);
typedef const char *(*text_function)(void);
typedef int (*set_device)(int32_t);
typedef int (*initialise)(const char *);
typedef int (*allocate)(void **, size_t, int);
typedef uint64_t (*count_function)(const char *);

static void every_symbol_is_there(void)
{
    void *library = open_library(EMULATOR_LIBRARIES, "libascendcl.so");
    RUNTIME_SYMBOLS(FIND, FIND_LIMITED, FIND)
    CHECK(LOOK_UP(library, "aclrtMemPoolCreate", no_arguments)() != 0);
    const char *message = LOOK_UP(library, "aclGetRecentErrMsg", text_function)();
    CHECK(message && strstr(message, "aclrtMemPoolCreate") && strstr(message, "does not have"));
    library = open_library(EMULATOR_LIBRARIES, "libnnopbase.so");
    BASE_SYMBOLS(FIND, FIND_LIMITED, FIND)
    library = open_library(EMULATOR_LIBRARIES, "libopapi.so");
    OPERATORS(FIND_ROW)
    MISSING_OPERATORS(FIND_OPERATOR)
    CHECK(LOOK_UP(library, "aclnnMoeDistributeDispatchV2GetWorkspaceSize", no_arguments)() == ACLNN_INNER_FIND_KERNEL);
}

static void the_older_version_lacks_what_came_later(void)
{
    void *runtime = open_library(EMULATOR_LIBRARIES_81, "libascendcl.so"), *operators = open_library(EMULATOR_LIBRARIES_81, "libopapi.so");
    CHECK(dlsym(runtime, "aclrtMalloc") && !dlsym(runtime, "aclrtLaunchHostFunc"));
    CHECK(dlsym(operators, "aclnnFusedInferAttentionScoreV2") && !dlsym(operators, "aclnnFusedInferAttentionScoreV4"));
    CHECK(!dlsym(operators, "aclnnScatterPaKvCache") && dlsym(operators, "aclnnInplaceIndexCopy"));
    CHECK(access(EMULATOR_LIBRARIES_81 "/libacl_rt.so", F_OK) != 0);
    initialise init = LOOK_UP(runtime, "aclInit", initialise);
    CHECK(init(NULL) == 0 && init(NULL) == ACL_REPEAT_INITIALIZE);
}

static void set_up_and_leak(void)
{
    void *library = open_library(EMULATOR_LIBRARIES, "libacl_rt.so"), *memory;
    CHECK(LOOK_UP(library, "aclInit", initialise)(NULL) == 0);
    CHECK(LOOK_UP(library, "aclrtSetDevice", set_device)(0) == 0);
    CHECK(LOOK_UP(library, "aclrtMalloc", allocate)(&memory, 100, 0) == 0);
    count_function count = LOOK_UP(library, "ascendEmulatorCount", count_function);
    CHECK(count("calls") == 3 && count("allocated") == 4096 && count("nonsense") == UINT64_MAX);
}

static int status_of(void (*body)(void))
{
    fflush(NULL);
    pid_t process = fork();
    if (!process) {
        n_failed = 0;
        body();
        exit(n_failed != 0);
    }
    int status = 0;
    waitpid(process, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void the_trace_is_a_list_of_events(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    int depth = 0, deepest = 0;
    for (size_t i = 0; i < length; i++) {
        depth += (text[i] == '[' || text[i] == '{') - (text[i] == ']' || text[i] == '}');
        deepest = depth > deepest ? depth : deepest;
    }
    CHECK(length > 100 && text[0] == '[' && depth == 0 && deepest >= 2);
    CHECK(strstr(text, "\"aclrtMalloc\"") && strstr(text, "\"ph\":\"X\""));
    if (file)
        fclose(file);
}

int main(void)
{
    char trace[] = "/tmp/emulator-trace-XXXXXX";
    int descriptor = mkstemp(trace);
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
    CHECK(status_of(every_symbol_is_there) == 0);
    CHECK(status_of(the_older_version_lacks_what_came_later) == 0);
    setenv("ASCEND_EMULATOR_TRACE", trace, 1);
    CHECK(status_of(set_up_and_leak) == 0);
    the_trace_is_a_list_of_events(trace);
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    CHECK(status_of(set_up_and_leak) == 97);
    if (descriptor >= 0)
        close(descriptor);
    unlink(trace);
    return n_failed != 0;
}
