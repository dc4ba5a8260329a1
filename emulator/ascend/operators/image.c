/* Convolution, pooling and patches over (N,C,H,W); 1-D and transposed convolutions. Products summed in fp32, one rounding on store. */
#include "operators/support.h"

#include <math.h>

/* One spatial axis. */
struct axis {
    int64_t in, out, kernel, stride, before, after, dilation;
};

static int64_t at_or(const struct value *list, size_t i, int64_t otherwise)
{
    return list && list->present && list->count ? list->integers[list->count == 1 ? 0 : i < list->count ? i : list->count - 1] : otherwise;
}

static int64_t windows(const struct axis *a, bool up)
{
    int64_t room = a->in + a->before + a->after - a->dilation * (a->kernel - 1) - 1;
    return a->stride <= 0 || room < 0 ? -1 : (room + (up ? a->stride - 1 : 0)) / a->stride + 1;
}

/* ---- convolution ---- */
struct convolution {
    const struct tensor *input, *weight, *bias, *out;
    struct axis axes[2]; /* height and width; a 1-D convolution has height 1 */
    int64_t groups, batches, in_channels, out_channels;
    bool transposed;
};

static bool read_convolution(const struct call *call, struct convolution *c)
{
    *c = (struct convolution){.input = call_tensor(call, "input"),
                              .weight = call_tensor(call, "weight"),
                              .bias = call_tensor(call, "bias"),
                              .out = call_tensor(call, "output"),
                              .groups = call_integer(call, "groups"),
                              .transposed = call_integer(call, "transposed") != 0};
    unsigned n = c->input->n_dims, spatial = n - 2;
    if ((n != 3 && n != 4) || c->weight->n_dims != n || c->out->n_dims != n || c->groups <= 0)
        return false;
    for (unsigned i = 0; i < 2; i++)
        c->axes[i] = (struct axis){1, 1, 1, 1, 0, 0, 1};
    for (unsigned i = 0; i < spatial; i++) {
        int64_t pad = at_or(call_value(call, "padding"), i, 0), extra = at_or(call_value(call, "outputPadding"), i, 0);
        c->axes[i + 2 - spatial] = (struct axis){.in = c->input->dims[2 + i],
                                                 .out = c->out->dims[2 + i],
                                                 .kernel = c->weight->dims[2 + i],
                                                 .stride = at_or(call_value(call, "stride"), i, 1),
                                                 .before = pad,
                                                 .after = c->transposed ? extra : pad,
                                                 .dilation = at_or(call_value(call, "dilation"), i, 1)};
    }
    c->batches = c->input->dims[0];
    c->in_channels = c->input->dims[1];
    c->out_channels = c->out->dims[1];
    int64_t own = c->transposed ? c->weight->dims[0] : c->weight->dims[1] * c->groups,
            made = c->transposed ? c->weight->dims[1] * c->groups : c->weight->dims[0];
    bool fits = own == c->in_channels && made == c->out_channels && c->in_channels % c->groups == 0 && c->out_channels % c->groups == 0 &&
                c->out->dims[0] == c->batches && (!c->bias || tensor_count(c->bias) == c->out_channels);
    for (int i = 0; i < 2 && fits; i++) {
        const struct axis *a = &c->axes[i];
        int64_t expected = c->transposed ? (a->in - 1) * a->stride - 2 * a->before + a->dilation * (a->kernel - 1) + a->after + 1 : windows(a, false);
        fits = a->dilation > 0 && a->stride > 0 && a->out == expected;
    }
    return fits;
}

static int check_convolution(struct call *call)
{
    struct convolution c;
    const struct tensor *input = call_tensor(call, "input"), *weight = call_tensor(call, "weight"), *out = call_tensor(call, "output");
    int result = check_type(input, "input", "f16 bf16 f32");
    if (!result && (weight->type != input->type || out->type != input->type))
        result = fail(ACLNN_PARAM_INVALID, "input is %s, weight %s, output %s: one type is expected", type_name(input->type), type_name(weight->type),
                      type_name(out->type));
    return result || read_convolution(call, &c)
               ? result
               : fail(ACLNN_PARAM_INVALID, "input, weight, bias, output and the attributes do not fit (3 or 4 dimensions are expected)");
}

/* The part of one output that one kernel position gives; false: it lies in the padding. */
static bool input_at(const struct axis *a, bool transposed, int64_t out, int64_t kernel, int64_t *in)
{
    if (!transposed) {
        *in = out * a->stride - a->before + kernel * a->dilation;
        return *in >= 0 && *in < a->in;
    }
    int64_t scaled = out + a->before - kernel * a->dilation;
    *in = scaled / a->stride;
    return scaled >= 0 && scaled % a->stride == 0 && *in < a->in;
}

static float convolve(const struct convolution *c, const float *input, const float *weight, int64_t channel, int64_t y, int64_t x)
{
    const struct axis *h = &c->axes[0], *w = &c->axes[1];
    int64_t each_in = c->in_channels / c->groups, each_out = c->out_channels / c->groups, group = channel / each_out, row, column;
    float sum = 0;
    for (int64_t i = 0; i < each_in; i++)
        for (int64_t ky = 0; ky < h->kernel; ky++)
            for (int64_t kx = 0; kx < w->kernel; kx++) {
                if (!input_at(h, c->transposed, y, ky, &row) || !input_at(w, c->transposed, x, kx, &column))
                    continue;
                int64_t from = group * each_in + i;
                int64_t filter = c->transposed ? from * each_out + channel % each_out : channel * each_in + i;
                sum += input[(from * h->in + row) * w->in + column] * weight[(filter * h->kernel + ky) * w->kernel + kx];
            }
    return sum;
}

static int compute_convolution(struct call *call)
{
    struct convolution c;
    if (!read_convolution(call, &c))
        return fail(RT_AICORE_EXCEPTION, "the shapes changed");
    const struct axis *h = &c.axes[0], *w = &c.axes[1];
    float *input = floats_load(call, c.input), *weight = floats_load(call, c.weight), *bias = c.bias ? floats_load(call, c.bias) : NULL;
    if (!input || !weight || (c.bias && !bias))
        return call_no_memory();
    for (int64_t i = 0; i < tensor_count(c.out); i++) {
        int64_t x = i % w->out, y = i / w->out % h->out, channel = i / (w->out * h->out) % c.out_channels, batch = i / (w->out * h->out * c.out_channels);
        float sum = convolve(&c, input + batch * c.in_channels * h->in * w->in, weight, channel, y, x) + (bias ? bias[channel] : 0);
        element_store(c.out, element_at(c.out, i), (double)sum);
    }
    return 0;
}

static double convolution_operations(const struct call *call)
{
    struct convolution c;
    if (!read_convolution(call, &c))
        return 0;
    return 2.0 * (double)tensor_count(c.out) * (double)tensor_count(c.weight) / (double)(c.transposed ? c.in_channels : c.out_channels);
}

const struct operator_implementation implementation_convolution = {
    .check = check_convolution, .compute = compute_convolution, .cube_operations = convolution_operations};

/* ---- pooling and patches: windows of (N,C,H,W) or (C,H,W) ---- */
static bool read_windows(const struct call *call, struct axis axes[2])
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    bool patches = call->row->detail == WINDOW_PATCHES;
    const struct value *kernel = call_value(call, call->row->detail == WINDOW_MAX ? "kernelShape" : "kernelSize");
    const struct value *stride = call_value(call, patches ? "stride" : "strides");
    const struct value *pads = call_value(call, patches ? "padding" : call->row->detail == WINDOW_MAX ? "pads" : "paddings");
    if (self->n_dims != 3 && self->n_dims != 4)
        return false;
    bool four = pads && pads->count == 4; /* before of both axes, then after */
    bool good = true;
    for (unsigned i = 0; i < 2; i++) {
        struct axis *a = &axes[i];
        *a = (struct axis){.in = self->dims[self->n_dims - 2 + i],
                           .kernel = at_or(kernel, i, 0),
                           .before = at_or(pads, i, 0),
                           .after = four ? pads->integers[2 + i] : at_or(pads, i, 0),
                           .dilation = at_or(call_value(call, patches ? "dilation" : "dilations"), i, 1)};
        a->stride = at_or(stride, i, a->kernel);
        a->out = windows(a, call_integer(call, "ceilMode") != 0);
        if (call_integer(call, "ceilMode") && a->out > 0 && (a->out - 1) * a->stride >= a->in + a->before) /* a window may not begin in the padding behind */
            a->out--;
        good = good && a->kernel > 0 && a->dilation > 0 && a->out > 0 && (patches || (out->n_dims == self->n_dims && out->dims[out->n_dims - 2 + i] == a->out));
    }
    return good;
}

static int check_windows(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    struct axis a[2];
    int result = check_type(self, "self", "f16 bf16 f32");
    if (!result && out->type != self->type)
        result = fail(ACLNN_PARAM_INVALID, "self is %s, out is %s", type_name(self->type), type_name(out->type));
    bool fits = !result && read_windows(call, a);
    if (fits && call->row->detail == WINDOW_PATCHES) {
        int64_t channels = tensor_end(self, 3), batches = self->n_dims == 4 ? self->dims[0] : 1;
        fits = out->n_dims == self->n_dims - 1 && tensor_count(out) == batches * channels * a[0].kernel * a[1].kernel * a[0].out * a[1].out &&
               tensor_end(out, 1) == a[0].out * a[1].out;
    }
    if (!result && call->row->detail == WINDOW_MAX && call_integer(call, "autoPad"))
        return fail(ACLNN_PARAM_INVALID, "autoPad is %lld; 0 is expected", (long long)call_integer(call, "autoPad"));
    return result || fits ? result : fail(ACLNN_PARAM_INVALID, "self, out, kernel, strides and pads do not fit (3 or 4 dimensions are expected)");
}

/* Largest or mean of one window. */
static float pool(const struct call *call, const struct axis *a, const float *plane, int64_t y, int64_t x)
{
    float largest = -INFINITY, sum = 0;
    int64_t inside = 0, padded = 0;
    for (int64_t ky = 0; ky < a[0].kernel; ky++)
        for (int64_t kx = 0; kx < a[1].kernel; kx++) {
            int64_t row = y * a[0].stride - a[0].before + ky * a[0].dilation, column = x * a[1].stride - a[1].before + kx * a[1].dilation;
            padded += row < a[0].in + a[0].after && column < a[1].in + a[1].after;
            if (row < 0 || row >= a[0].in || column < 0 || column >= a[1].in)
                continue;
            float value = plane[row * a[1].in + column];
            largest = value > largest || value != value ? value : largest;
            sum += value;
            inside++;
        }
    if (call->row->detail == WINDOW_MAX)
        return largest;
    int64_t divisor = call_integer(call, "divisorOverride");
    divisor = divisor ? divisor : call_integer(call, "countIncludePad") ? padded : inside;
    return divisor ? sum / (float)divisor : 0;
}

static int compute_windows(struct call *call)
{
    const struct tensor *self = self_of(call), *out = output_of(call);
    struct axis a[2];
    if (!read_windows(call, a))
        return fail(RT_AICORE_EXCEPTION, "the shapes changed");
    float *values = floats_load(call, self);
    if (!values)
        return call_no_memory();
    int64_t plane = a[0].in * a[1].in, places = a[0].out * a[1].out, kernel = a[0].kernel * a[1].kernel, count = tensor_count(out);
    for (int64_t i = 0; i < count; i++) {
        int64_t y = i % places / a[1].out, x = i % a[1].out;
        if (call->row->detail != WINDOW_PATCHES) {
            element_store(out, element_at(out, i), (double)pool(call, a, values + i / places * plane, y, x));
            continue;
        }
        int64_t k = i / places % kernel, row = y * a[0].stride - a[0].before + k / a[1].kernel * a[0].dilation;
        int64_t column = x * a[1].stride - a[1].before + k % a[1].kernel * a[1].dilation;
        bool inside = row >= 0 && row < a[0].in && column >= 0 && column < a[1].in;
        element_store(out, element_at(out, i), inside ? (double)values[i / (places * kernel) * plane + row * a[1].in + column] : 0);
    }
    return 0;
}

const struct operator_implementation implementation_windows = {.check = check_windows, .compute = compute_windows};
