/* A buffer that grows in place: addresses for all it may become are reserved, physical memory is mapped as it is needed. An operator reads across the seam. */
#include "example.h"

enum { PIECES = 3 };

int main(void)
{
    aclrtPhysicalMemProp property = {.memAttr = 4 /* HBM, huge pages */, .locationId = 0, .locationType = 1 /* device */};
    aclrtDrvMemHandle pieces[PIECES];
    size_t granularity, free_before, free_after, total;
    void *pool = NULL;
    aclrtStream stream;
    OR_EXIT(aclInit(NULL));
    OR_EXIT(aclrtSetDevice(0));
    OR_EXIT(aclrtCreateStream(&stream));
    OR_EXIT(aclrtMemGetAllocationGranularity(&property, ACL_RT_MEM_GRANULARITY_RECOMMENDED, &granularity));
    OR_EXIT(aclrtGetMemInfo(ACL_HBM_MEM, &free_before, &total));
    OR_EXIT(aclrtReserveMemAddress(&pool, PIECES * granularity, 0, NULL, 1));
    for (size_t i = 0; i < PIECES; i++) {
        OR_EXIT(aclrtMallocPhysical(&pieces[i], granularity, &property, 0));
        OR_EXIT(aclrtMapMem((char *)pool + i * granularity, granularity, 0, pieces[i], 0));
    }
    OR_EXIT(aclrtGetMemInfo(ACL_HBM_MEM, &free_after, &total));
    printf("%d pieces of %zu bytes take %zu\n", PIECES, granularity, free_before - free_after);

    /* 1,024 floats, half of them in the first piece. */
    const int64_t dims[1] = {1024};
    char *seam = (char *)pool + granularity - 2048;
    uint64_t size;
    aclOpExecutor *executor;
    float last;
    aclTensor *across = tensor_over(seam, ACL_FLOAT, 1, dims);
    OR_EXIT(aclnnInplaceOneGetWorkspaceSize(across, &size, &executor));
    OR_EXIT(aclnnInplaceOne(NULL, size, executor, stream));
    OR_EXIT(aclrtSynchronizeStream(stream));
    OR_EXIT(aclrtMemcpy(&last, 4, seam + 4092, 4, ACL_DEVICE_TO_HOST));
    printf("the last element behind the seam is %g\n", (double)last);
    OR_EXIT(aclDestroyTensor(across));

    for (size_t i = 0; i < PIECES; i++)
        OR_EXIT(aclrtUnmapMem((char *)pool + i * granularity));
    for (size_t i = 0; i < PIECES; i++)
        OR_EXIT(aclrtFreePhysical(pieces[i]));
    OR_EXIT(aclrtReleaseMemAddress(pool));
    OR_EXIT(aclrtDestroyStream(stream));
    OR_EXIT(aclrtResetDevice(0));
    OR_EXIT(aclFinalize());
    return last == 1 && free_before - free_after == PIECES * granularity ? 0 : 1;
}
