/* Reserved addresses, physical memory, mappings: growth in place, and what is refused or surfaces late. */
#include "tests/golden.h"

#define PIECE ((size_t)2 << 20)

static aclrtPhysicalMemProp property = {.memAttr = 4, .locationType = 1};

static void *reserve(size_t pieces)
{
    void *pool = NULL;
    CHECK_OK(aclrtReserveMemAddress(&pool, pieces * PIECE, 0, NULL, 1));
    CHECK((uintptr_t)pool % PIECE == 0);
    return pool;
}

static aclrtDrvMemHandle piece(void)
{
    aclrtDrvMemHandle handle = NULL;
    CHECK_OK(aclrtMallocPhysical(&handle, PIECE, &property, 0));
    return handle;
}

/* y = -x over 2,048 floats; what the synchronisation says. */
static int negate(void *from, void *to)
{
    uint64_t size;
    aclOpExecutor *executor;
    aclTensor *x = plain_tensor(DIMS(2048), ACL_FLOAT, from), *y = plain_tensor(DIMS(2048), ACL_FLOAT, to);
    CHECK_OK(aclnnNegGetWorkspaceSize(x, y, &size, &executor));
    CHECK_OK(aclnnNeg(NULL, size, executor, stream));
    int code = aclrtSynchronizeStream(stream);
    CHECK_OK(aclDestroyTensor(x));
    CHECK_OK(aclDestroyTensor(y));
    return code;
}

static void an_operator_crosses_joined_pieces_and_no_gap(void)
{
    char *pool = reserve(3);
    aclrtDrvMemHandle first = piece(), second = piece();
    void *other = device_memory(8192);
    float value = 0;
    CHECK_CODE(negate(pool, other), RT_AICORE_EXCEPTION); /* nothing is mapped yet */
    CHECK_MESSAGE("no physical memory is mapped");
    CHECK_OK(aclrtMapMem(pool, PIECE, 0, first, 0));
    CHECK_OK(aclrtMemcpy(&value, 4, pool, 4, ACL_DEVICE_TO_HOST));
    CHECK(value != value); /* fresh memory is NaN */
    CHECK_OK(aclrtMemset(pool + PIECE - 4096, 4096, 0, 4096));
    CHECK_CODE(negate(pool + PIECE - 4096, other), RT_AICORE_EXCEPTION); /* half of it is not there */
    CHECK_OK(aclrtMapMem(pool + PIECE, PIECE, 0, second, 0));
    CHECK_OK(aclrtMemset(pool + PIECE, 4096, 0, 4096));
    CHECK_OK(negate(pool + PIECE - 4096, other));
    CHECK_OK(aclrtMemcpy(&value, 4, (char *)other + 8188, 4, ACL_DEVICE_TO_HOST));
    CHECK(value == 0);
    CHECK_OK(aclrtUnmapMem(pool + PIECE));
    CHECK_CODE(negate(pool + PIECE - 4096, other), RT_AICORE_EXCEPTION);
    CHECK_OK(aclrtMapMem(pool + 2 * PIECE, PIECE, 0, second, 0)); /* the same memory elsewhere: its contents are kept */
    CHECK_OK(aclrtMemcpy(&value, 4, pool + 2 * PIECE, 4, ACL_DEVICE_TO_HOST));
    CHECK(value == 0);
    CHECK_OK(aclrtUnmapMem(pool));
    CHECK_OK(aclrtUnmapMem(pool + 2 * PIECE));
    CHECK_OK(aclrtFreePhysical(first));
    CHECK_OK(aclrtFreePhysical(second));
    CHECK_OK(aclrtReleaseMemAddress(pool));
    CHECK_CODE(negate(pool, other), RT_AICORE_EXCEPTION);
    CHECK_MESSAGE("freed");
}

static void mistakes_are_refused(void)
{
    char *pool = reserve(2);
    aclrtDrvMemHandle handle = piece(), none;
    size_t granularity;
    aclrtPhysicalMemProp wrong = property;
    CHECK_OK(aclrtMemGetAllocationGranularity(&property, ACL_RT_MEM_GRANULARITY_RECOMMENDED, &granularity));
    CHECK(granularity == PIECE);
    CHECK_CODE(aclrtMallocPhysical(&none, PIECE / 2, &property, 0), RT_PARAM_INVALID);
    CHECK_MESSAGE("granularity");
    wrong.locationId = 7;
    CHECK_CODE(aclrtMallocPhysical(&none, PIECE, &wrong, 0), RT_INVALID_DEVICE);
    CHECK_CODE(aclrtMapMem(pool, PIECE / 2, 0, handle, 0), RT_PARAM_INVALID); /* the whole piece */
    CHECK_CODE(aclrtMapMem(pool + 100, PIECE, 0, handle, 0), RT_PARAM_INVALID);
    CHECK_CODE(aclrtMapMem(pool + 2 * PIECE, PIECE, 0, handle, 0), RT_PARAM_INVALID);
    CHECK_CODE(aclrtMapMem(device_memory(64), PIECE, 0, handle, 0), RT_PARAM_INVALID);
    CHECK_CODE(aclrtMapMem(pool, PIECE, 0, pool, 0), RT_INVALID_HANDLE);
    CHECK_OK(aclrtMapMem(pool, PIECE, 0, handle, 0));
    CHECK_CODE(aclrtMapMem(pool, PIECE, 0, handle, 0), RT_PARAM_INVALID); /* twice */
    CHECK_CODE(aclrtReleaseMemAddress(pool), RT_PARAM_INVALID);
    CHECK_MESSAGE("still mapped");
    CHECK_CODE(aclrtFree(pool), RT_PARAM_INVALID);
    CHECK_MESSAGE("aclrtReleaseMemAddress");
    CHECK_CODE(aclrtUnmapMem(pool + PIECE), RT_PARAM_INVALID);
    CHECK_OK(aclrtFreePhysical(handle)); /* lives until its last mapping is gone */
    CHECK_OK(aclrtMemset(pool, 64, 1, 64));
    CHECK_CODE(aclrtFreePhysical(handle), RT_INVALID_HANDLE);
    CHECK_OK(aclrtUnmapMem(pool));
    CHECK_OK(aclrtReleaseMemAddress(pool));
    CHECK_CODE(aclrtReleaseMemAddress(pool), RT_PARAM_INVALID);
}

static void physical_memory_counts(void)
{
    size_t before, during, after, total;
    aclrtDrvMemHandle pieces[16], one_more;
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &before, &total));
    size_t fit = before / PIECE;
    CHECK(fit > 0 && fit <= 16);
    for (size_t i = 0; i < fit; i++)
        pieces[i] = piece();
    CHECK_CODE(aclrtMallocPhysical(&one_more, PIECE, &property, 0), RT_MEMORY_ALLOCATION);
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &during, &total));
    CHECK(before - during == fit * PIECE);
    for (size_t i = 0; i < fit; i++)
        CHECK_OK(aclrtFreePhysical(pieces[i]));
    CHECK_OK(aclrtGetMemInfo(ACL_HBM_MEM, &after, &total));
    CHECK(after == before);
}

static void unmapping_under_a_running_operator_is_noticed(void)
{
    int64_t side = 700;
    char *pool = reserve(2);
    aclrtDrvMemHandle handle = piece();
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_OK(aclrtMapMem(pool, PIECE, 0, handle, 0));
    CHECK_OK(aclrtMemset(pool, PIECE, 0, PIECE));
    aclTensor *a = plain_tensor(DIMS(side, side), ACL_FLOAT, pool), *out = pattern_tensor(DIMS(side, side), ACL_FLOAT, 0, 0);
    CHECK_OK(aclnnMmGetWorkspaceSize(a, a, out, 0, &size, &executor));
    CHECK_OK(aclnnMm(device_memory(size), size, executor, stream));
    usleep(5000); /* most often the product runs by now; before or after it the outcome is the same or none */
    CHECK_OK(aclrtUnmapMem(pool));
    int code = aclrtSynchronizeStream(stream);
    CHECK(code == 0 || code == RT_AICORE_EXCEPTION);
    CHECK_OK(aclrtFreePhysical(handle));
    CHECK_OK(aclrtReleaseMemAddress(pool));
    CHECK_OK(aclDestroyTensor(a));
    CHECK_OK(aclDestroyTensor(out));
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    setenv("ASCEND_EMULATOR_MEMORY", "32M", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    an_operator_crosses_joined_pieces_and_no_gap();
    mistakes_are_refused();
    unmapping_under_a_running_operator_is_noticed();
    device_free_all();
    physical_memory_counts();
    char *pool = reserve(2); /* a reset takes all of it */
    CHECK_OK(aclrtMapMem(pool, PIECE, 0, piece(), 0));
    CHECK_OK(aclrtDestroyStream(stream));
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_CODE(aclrtUnmapMem(pool), RT_PARAM_INVALID);
    physical_memory_counts();
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclFinalize());
    return checks_failed();
}
