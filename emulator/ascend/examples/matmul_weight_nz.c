/* A linear layer as an engine runs it: the weight is converted to FRACTAL_NZ once, in place, in a buffer large enough for it; the executor is made repeatable,
 * and every further input only changes addresses. */
#include "example.h"

#include <math.h>

enum { ROWS = 3, IN = 40, OUT = 24 };

static void convert_weight(void *memory, aclrtStream stream)
{
    const int64_t dims[2] = {IN, OUT};
    uint64_t size;
    aclOpExecutor *executor;
    aclTensor *weight = tensor_over(memory, ACL_FLOAT16, 2, dims);
    OR_EXIT(aclnnTransMatmulWeightGetWorkspaceSize(weight, &size, &executor));
    void *workspace = size ? to_device(NULL, size) : NULL;
    OR_EXIT(aclnnTransMatmulWeight(workspace, size, executor, stream));
    OR_EXIT(aclrtSynchronizeStream(stream));
    OR_EXIT(aclDestroyTensor(weight));
    if (workspace)
        OR_EXIT(aclrtFree(workspace));
}

static void fill(uint16_t *x, float *wide, int count, float scale)
{
    for (int i = 0; i < count; i++) {
        x[i] = aclFloatToFloat16(sinf((float)i) * scale);
        wide[i] = aclFloat16ToFloat(x[i]);
    }
}

static int differs(const void *memory, const float *x, const float *w)
{
    uint16_t result[ROWS * OUT];
    OR_EXIT(aclrtMemcpy(result, sizeof result, memory, sizeof result, ACL_DEVICE_TO_HOST));
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < OUT; c++) {
            float sum = 0;
            for (int i = 0; i < IN; i++)
                sum += x[r * IN + i] * w[i * OUT + c];
            if (fabsf(aclFloat16ToFloat(result[r * OUT + c]) - sum) > 0.01f)
                return 1;
        }
    return 0;
}

int main(void)
{
    static uint16_t x[2][ROWS * IN], w[IN * OUT];
    static float x_wide[2][ROWS * IN], w_wide[IN * OUT];
    const int64_t x_dims[2] = {ROWS, IN}, w_dims[2] = {IN, OUT}, y_dims[2] = {ROWS, OUT}, stored[4] = {(OUT + 15) / 16, (IN + 15) / 16, 16, 16};
    aclrtStream stream;
    uint64_t elements, size;
    aclOpExecutor *executor;

    OR_EXIT(aclInit(NULL));
    OR_EXIT(aclrtSetDevice(0));
    OR_EXIT(aclrtCreateStream(&stream));
    fill(x[0], x_wide[0], ROWS * IN, 1);
    fill(x[1], x_wide[1], ROWS * IN, 2);
    fill(w, w_wide, IN * OUT, 1);

    aclIntArray *shape = aclCreateIntArray(w_dims, 2);
    OR_EXIT(aclnnCalculateMatmulWeightSizeV2(shape, ACL_FLOAT16, &elements));
    OR_EXIT(aclDestroyIntArray(shape));
    printf("%d elements take %llu in FRACTAL_NZ\n", IN * OUT, (unsigned long long)elements);
    void *w_memory = to_device(NULL, elements * 2);
    OR_EXIT(aclrtMemcpy(w_memory, elements * 2, w, sizeof w, ACL_HOST_TO_DEVICE));
    convert_weight(w_memory, stream);

    void *x_memory[2] = {to_device(x[0], sizeof x[0]), to_device(x[1], sizeof x[1])}, *y_memory = to_device(NULL, ROWS * OUT * 2);
    aclTensor *input = tensor_over(x_memory[0], ACL_FLOAT16, 2, x_dims), *output = tensor_over(y_memory, ACL_FLOAT16, 2, y_dims);
    aclTensor *weight = aclCreateTensor(w_dims, 2, ACL_FLOAT16, NULL, 0, ACL_FORMAT_FRACTAL_NZ, stored, 4, w_memory);
    OR_EXIT(aclnnMmGetWorkspaceSize(input, weight, output, 0, &size, &executor));
    OR_EXIT(aclSetAclOpExecutorRepeatable(executor)); /* directly after phase one */
    void *workspace = size ? to_device(NULL, size) : NULL;
    int wrong = 0;
    for (int turn = 0; turn < 2; turn++) {
        OR_EXIT(aclSetInputTensorAddr(executor, 0, input, x_memory[turn]));
        OR_EXIT(aclnnMm(workspace, size, executor, stream));
        OR_EXIT(aclrtSynchronizeStream(stream));
        wrong |= differs(y_memory, x_wide[turn], w_wide);
    }
    printf("%s\n", wrong ? "WRONG" : "both products agree");

    OR_EXIT(aclDestroyAclOpExecutor(executor));
    OR_EXIT(aclDestroyTensor(input));
    OR_EXIT(aclDestroyTensor(weight));
    OR_EXIT(aclDestroyTensor(output));
    void *buffers[] = {w_memory, x_memory[0], x_memory[1], y_memory, workspace};
    for (int i = 0; i < 5; i++)
        if (buffers[i])
            OR_EXIT(aclrtFree(buffers[i]));
    OR_EXIT(aclrtDestroyStream(stream));
    OR_EXIT(aclrtResetDevice(0));
    OR_EXIT(aclFinalize());
    return wrong;
}
