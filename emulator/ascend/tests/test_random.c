/* Every operator with random arguments: whatever is passed, phase one refuses it or phase two runs it; nothing crashes, hangs or reads beyond a buffer (the
 * sanitizers watch). Shapes and types come from small sets, so that many calls fit and are executed. Usage: test_random [ROUNDS [SEED [verbose]]] */
#include "tests/golden.h"

#define BUFFER ((size_t)1 << 18)

static uint64_t state = 20260801;
static void *buffer, *workspace;
static uint64_t n_refused, n_run, n_late;

static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

/* What one round's tensors have in common, so that shapes agree more often than by chance. */
static int64_t usual[4];
static int32_t usual_type;

static aclTensor *random_tensor(void)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 4, 8, 16, 32, 64, 128};
    static const int32_t types[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32, ACL_INT64, ACL_BOOL, ACL_UINT8, ACL_INT4, ACL_UINT64};
    int64_t dims[8], storage[8], strides[8], count = 1, last = 0;
    uint64_t n = draw(5) ? 1 + draw(3) : draw(7);
    for (uint64_t d = 0; d < n; d++) {
        dims[d] = draw(4) ? usual[draw(4)] : sizes[draw(10)];
        while (count * dims[d] > (int64_t)(BUFFER / 8))
            dims[d] /= 2;
        count *= dims[d];
    }
    aclDataType type = (aclDataType)(draw(3) ? usual_type : types[draw(10)]);
    bool nz = n >= 2 && !draw(10), loose = !nz && !draw(12);
    for (uint64_t d = n; d-- > 0;) {
        strides[d] = draw(2) ? 1 : 1 + (int64_t)draw(8);
        last += dims[d] ? (dims[d] - 1) * strides[d] : 0;
    }
    if (last * 8 >= (int64_t)BUFFER)
        loose = false;
    if (!nz)
        return aclCreateTensor(dims, n, type, loose ? strides : NULL, 0, ACL_FORMAT_ND, dims, n, (char *)buffer + 32 * draw(64));
    storage[0] = (dims[n - 1] + 15) / 16;
    storage[1] = (dims[n - 2] + 15) / 16;
    storage[2] = storage[3] = 16;
    bool blocked = draw(2);
    return aclCreateTensor(blocked ? storage : dims, blocked ? 4 : n, type, NULL, 0, ACL_FORMAT_FRACTAL_NZ, storage, 4, buffer);
}

static const aclTensorList *random_list(void)
{
    const aclTensor *items[3];
    uint64_t n = draw(3) ? 1 : 1 + draw(3), made = 0;
    for (uint64_t i = 0; i < n; i++)
        if ((items[made] = random_tensor()))
            made++;
    return made ? aclCreateTensorList(items, made) : NULL;
}

static aclIntArray *random_ints(void)
{
    int64_t values[6];
    uint64_t n = draw(6);
    for (uint64_t i = 0; i < n; i++)
        values[i] = draw(3) ? (int64_t)draw(5) : draw(3) ? usual[draw(4)] : (int64_t)draw(2000) - 1000;
    return aclCreateIntArray(values, n);
}

static int64_t random_integer(void)
{
    static const int64_t odd[] = {INT64_MIN, INT64_MAX, -1, 2147483647, 65536, -2147483648LL, 127, 16, 32, 128};
    return draw(4) ? (int64_t)draw(5) : draw(2) ? odd[draw(10)] : usual[draw(4)];
}

static char *random_text(void)
{
    static char texts[][16] = {"", "BSH", "BSND", "BNSD", "TND", "NTD_TND", "half", "round", "floor", "PA_NZ", "Norm", "Nct", "a name of many", "\xff\xfe"};
    return texts[draw(14)];
}

static aclScalar *random_scalar(void)
{
    float value = (float)draw(9) - 4;
    int64_t whole = (int64_t)draw(9) - 4;
    return draw(2) ? aclCreateScalar(&value, ACL_FLOAT) : aclCreateScalar(&whole, ACL_INT64);
}

#define RANDOM(kind, name) RANDOM_##kind
#define RANDOM_IN random_tensor(),
#define RANDOM_OPT draw(2) ? NULL : random_tensor(),
#define RANDOM_OUT random_tensor(),
#define RANDOM_OPTOUT draw(2) ? NULL : random_tensor(),
#define RANDOM_REF random_tensor(),
#define RANDOM_INLIST random_list(),
#define RANDOM_OPTLIST draw(2) ? NULL : random_list(),
#define RANDOM_OUTLIST (aclTensorList *)(uintptr_t)random_list(),
#define RANDOM_OPTOUTLIST NULL,
#define RANDOM_SCALAR random_scalar(),
#define RANDOM_OPTSCALAR draw(2) ? NULL : random_scalar(),
#define RANDOM_INTS random_ints(),
#define RANDOM_OPTINTS draw(2) ? NULL : random_ints(),
#define RANDOM_TEXT random_text(),
#define RANDOM_OPTTEXT draw(2) ? NULL : random_text(),
#define RANDOM_I64 random_integer(),
#define RANDOM_I32 (int32_t) random_integer(),
#define RANDOM_I8 (int8_t) draw(6),
#define RANDOM_REAL (double)draw(100) / 50 - 1,
#define RANDOM_FLAG draw(2) != 0,
#define RANDOM_TYPE (aclDataType)(draw(2) ? usual_type : (int32_t)draw(40)),

static void finish(int code, int launched)
{
    n_refused += code != 0;
    n_run += !code && !launched;
    n_late += !code && launched;
    CHECK(!code || aclGetRecentErrMsg() != NULL); /* a refusal says why */
    if (code)
        return;
    int late = aclrtSynchronizeStream(stream);
    n_late += late != 0;
}

#define CALL(operator, ...)                                                                                                                                    \
    static void call_##operator(void)                                                                                                                          \
    {                                                                                                                                                          \
        uint64_t size = 0;                                                                                                                                     \
        aclOpExecutor *executor = NULL;                                                                                                                        \
        int code = aclnn##operator##GetWorkspaceSize(FOR_EACH(RANDOM, __VA_ARGS__) & size, &executor);                                                         \
        finish(code, !code && aclnn##operator(workspace, size, executor, stream));                                                                             \
    }
#define CALL_ROW(operator, chips, used, which, limit, ...) CALL(operator, __VA_ARGS__)
OPERATORS(CALL_ROW)

#define ENTRY(operator, ...) {"aclnn" #operator, call_##operator},
static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {OPERATORS(ENTRY)};

int main(int argc, char **argv)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 8, 16, 32, 64, 96};
    static const int32_t types[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32};
    int rounds = argc > 1 ? atoi(argv[1]) : 60;
    state += argc > 2 ? strtoull(argv[2], NULL, 10) * 2 : 0;
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    CHECK_OK(aclrtMalloc(&buffer, BUFFER, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtMalloc(&workspace, (size_t)8 << 20, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtMemset(buffer, BUFFER, 0, BUFFER));
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            for (int d = 0; d < 4; d++)
                usual[d] = sizes[draw(9)];
            usual_type = types[draw(5)];
            if (argc > 3)
                fprintf(stderr, "%d %s\n", round, calls[i].name);
            calls[i].call();
        }
    printf("%llu refused, %llu run, %llu of them with a late error\n", (unsigned long long)n_refused, (unsigned long long)n_run, (unsigned long long)n_late);
    CHECK(n_run > (uint64_t)rounds); /* some fit */
    return checks_failed();
}
