/* Orders to a running process: by a socket, with answers, and by a FIFO. The process under test is a child that works until it is told to stop. */
#include "tests/golden.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Works until a synchronisation fails; ends with 0 if that code is the one expected, and the device works again after a reset. */
static int work_until_it_breaks(int expected)
{
    int code = 0;
    n_failed = 0;
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    void *memory = NULL;
    CHECK_OK(aclrtMalloc(&memory, 1024, ACL_MEM_HUGE_FIRST));
    for (int i = 0; i < 30000 && !code; i++) {
        code = aclrtMemsetAsync(memory, 1024, i, 1024, stream);
        if (!code)
            code = aclrtSynchronizeStream(stream);
        usleep(1000);
    }
    CHECK(code == expected);
    CHECK_OK(aclrtResetDeviceForce(0));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtMalloc(&memory, 64, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtMemset(memory, 64, 1, 64));
    return n_failed;
}

static pid_t start(const char *path, int expected)
{
    fflush(NULL);
    pid_t process = fork();
    if (!process) {
        setenv("ASCEND_EMULATOR_CONTROL", path, 1);
        setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
        exit(work_until_it_breaks(expected));
    }
    return process;
}

static FILE *reach(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    for (int turn = 0; turn < 2000; turn++) {
        int peer = socket(AF_UNIX, SOCK_STREAM, 0);
        if (!connect(peer, (struct sockaddr *)&address, sizeof address))
            return fdopen(peer, "r+");
        close(peer);
        usleep(5000);
    }
    return NULL;
}

static const char *ask(FILE *peer, const char *command)
{
    static char answer[1024];
    fprintf(peer, "%s\n", command);
    fflush(peer);
    *answer = 0;
    if (!fgets(answer, sizeof answer, peer))
        return "no answer";
    answer[strcspn(answer, "\n")] = 0;
    return answer;
}

static int status_of(pid_t process)
{
    int status = 1;
    waitpid(process, &status, 0);
    return status;
}

static void a_socket_takes_orders_and_answers(const char *path)
{
    pid_t process = start(path, RT_HBM_MULTI_BIT_ECC_ERROR);
    FILE *peer = reach(path);
    CHECK(peer != NULL);
    if (!peer) {
        kill(process, SIGKILL);
        return;
    }
    CHECK(!strncmp(ask(peer, "count calls"), "ok ", 3));
    CHECK(strtoull(ask(peer, "count calls") + 3, NULL, 10) > 0);
    CHECK(strstr(ask(peer, "devices"), "device 0 normal"));
    CHECK(!strncmp(ask(peer, "count nonsense"), "error", 5));
    CHECK(!strncmp(ask(peer, "fault ecc@"), "error", 5));
    CHECK(!strncmp(ask(peer, "fault thunder@1"), "error", 5));
    CHECK(!strncmp(ask(peer, "dance"), "error", 5));
    CHECK(!strcmp(ask(peer, "fault ecc@+1000000"), "ok"));
    CHECK(!strcmp(ask(peer, "clear"), "ok"));
    CHECK(!strcmp(ask(peer, "fault ecc@+3"), "ok"));
    fclose(peer);
    CHECK(status_of(process) == 0);
    CHECK(access(path, F_OK) != 0); /* the socket goes with its process */
}

static void a_fifo_takes_orders(const char *path)
{
    CHECK(mkfifo(path, 0600) == 0);
    pid_t process = start(path, RT_AICORE_TIMEOUT);
    FILE *fifo = fopen(path, "w"); /* waits for the reader */
    CHECK(fifo != NULL);
    if (fifo) {
        fprintf(fifo, "fault timeout@+1\n");
        fclose(fifo);
    }
    CHECK(status_of(process) == 0);
    unlink(path);
}

int main(void)
{
    char folder[] = "/tmp/emulator-control-XXXXXX", path[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/socket", folder);
    a_socket_takes_orders_and_answers(path);
    snprintf(path, sizeof path, "%s/fifo", folder);
    a_fifo_takes_orders(path);
    rmdir(folder);
    return checks_failed();
}
