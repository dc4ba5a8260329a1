/* The smallest whole program: out = a + 2 b on device 0. */
#include "example.h"

int main(void)
{
    const float a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {10, 20, 30, 40, 50, 60, 70, 80};
    const int64_t dims[2] = {2, 4};
    float result[8], factor = 2;
    aclrtStream stream;
    uint64_t workspace_size = 0;
    aclOpExecutor *executor = NULL;

    OR_EXIT(aclInit(NULL));
    OR_EXIT(aclrtSetDevice(0));
    OR_EXIT(aclrtCreateStream(&stream));
    printf("on %s\n", aclrtGetSocName());

    void *a_memory = to_device(a, sizeof a), *b_memory = to_device(b, sizeof b), *out_memory = to_device(NULL, sizeof result), *workspace = NULL;
    aclTensor *first = tensor_over(a_memory, ACL_FLOAT, 2, dims), *second = tensor_over(b_memory, ACL_FLOAT, 2, dims);
    aclTensor *out = tensor_over(out_memory, ACL_FLOAT, 2, dims);
    aclScalar *alpha = aclCreateScalar(&factor, ACL_FLOAT);

    /* Phase one checks and prepares, phase two queues. */
    OR_EXIT(aclnnAddGetWorkspaceSize(first, second, alpha, out, &workspace_size, &executor));
    if (workspace_size)
        workspace = to_device(NULL, workspace_size);
    OR_EXIT(aclnnAdd(workspace, workspace_size, executor, stream));
    OR_EXIT(aclrtSynchronizeStream(stream));
    OR_EXIT(aclrtMemcpy(result, sizeof result, out_memory, sizeof result, ACL_DEVICE_TO_HOST));
    for (int i = 0; i < 8; i++) {
        printf("%g%s", (double)result[i], i < 7 ? " " : "\n");
        if (result[i] != a[i] + 2 * b[i])
            return 1;
    }

    OR_EXIT(aclDestroyTensor(first));
    OR_EXIT(aclDestroyTensor(second));
    OR_EXIT(aclDestroyTensor(out));
    OR_EXIT(aclDestroyScalar(alpha));
    OR_EXIT(aclrtFree(a_memory));
    OR_EXIT(aclrtFree(b_memory));
    OR_EXIT(aclrtFree(out_memory));
    if (workspace)
        OR_EXIT(aclrtFree(workspace));
    OR_EXIT(aclrtDestroyStream(stream));
    OR_EXIT(aclrtResetDevice(0));
    OR_EXIT(aclFinalize());
    return 0;
}
