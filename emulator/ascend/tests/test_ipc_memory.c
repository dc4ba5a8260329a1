/* Device memory shared by two processes: what one writes the other reads; keys are for those listed; importers close before the exporter. */
#include "tests/check.h"

#include <sys/wait.h>

static void set_up(void)
{
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
}

static int finish(void)
{
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclFinalize());
    return checks_failed();
}

/* Reads keys and "continue" bytes from `in`, says it is done on `out`. */
static int importer(int in, int out)
{
    char key[65];
    unsigned char *memory, host[100];
    int32_t pid;
    set_up();
    CHECK_OK(aclrtDeviceGetBareTgid(&pid));
    CHECK(write(out, &pid, sizeof pid) == sizeof pid);
    CHECK(read(in, key, sizeof key) == sizeof key);
    CHECK_CODE(aclrtIpcMemImportByKey((void **)&memory, key, 0), RT_PARAM_INVALID);
    CHECK_MESSAGE("is not in the key's list");
    CHECK(write(out, "1", 1) == 1 && read(in, host, 1) == 1);
    CHECK_CODE(aclrtIpcMemImportByKey((void **)&memory, "/ascend-emulator-none", 0), RT_PARAM_INVALID);
    CHECK_OK(aclrtIpcMemImportByKey((void **)&memory, key, 0));
    CHECK_OK(aclrtMemcpy(host, 100, memory, 100, ACL_DEVICE_TO_HOST));
    CHECK(host[0] == 7 && host[99] == 7);
    CHECK_OK(aclrtMemset(memory, 100, 9, 100));
    CHECK_CODE(aclrtMemset(memory, 101, 9, 101), RT_PARAM_INVALID);
    CHECK(write(out, "2", 1) == 1 && read(in, host, 1) == 1);
    CHECK_OK(aclrtIpcMemClose(key));
    CHECK_CODE(aclrtIpcMemClose(key), RT_PARAM_INVALID);
    CHECK(write(out, "3", 1) == 1);
    return finish();
}

static void exporter(int in, int out)
{
    char key[65] = {0}, byte;
    unsigned char *memory, host[100];
    int32_t pid;
    set_up();
    CHECK_OK(aclrtMalloc((void **)&memory, 100, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtMemset(memory, 100, 7, 100));
    CHECK_CODE(aclrtIpcMemGetExportKey(memory, 100, key, 64, 0), RT_PARAM_INVALID);
    CHECK_CODE(aclrtIpcMemGetExportKey(memory + 32, 10, key, 65, 0), RT_PARAM_INVALID);
    CHECK_OK(aclrtIpcMemGetExportKey(memory, 100, key, 65, 0));
    CHECK(read(in, &pid, sizeof pid) == sizeof pid && write(out, key, sizeof key) == sizeof key);
    CHECK(read(in, &byte, 1) == 1 && byte == '1');
    CHECK_OK(aclrtIpcMemSetImportPid(key, &pid, 1));
    CHECK(write(out, "c", 1) == 1 && read(in, &byte, 1) == 1 && byte == '2');
    CHECK_OK(aclrtMemcpy(host, 100, memory, 100, ACL_DEVICE_TO_HOST));
    CHECK(host[0] == 9 && host[99] == 9);
    CHECK_CODE(aclrtIpcMemClose(key), RT_PARAM_INVALID);
    CHECK_MESSAGE("importers still");
    CHECK(write(out, "c", 1) == 1 && read(in, &byte, 1) == 1 && byte == '3');
    CHECK_OK(aclrtIpcMemClose(key));
    CHECK_OK(aclrtFree(memory));
}

int main(void)
{
    int to_child[2], to_parent[2], status = 1;
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    alarm(60); /* a lost partner would leave us reading for ever */
    CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
    pid_t process = fork(); /* before either has started the library */
    if (!process) {
        close(to_child[1]);
        close(to_parent[0]);
        exit(importer(to_child[0], to_parent[1]));
    }
    close(to_child[0]);
    close(to_parent[1]);
    exporter(to_parent[0], to_child[1]);
    waitpid(process, &status, 0);
    CHECK(status == 0);
    return finish();
}
