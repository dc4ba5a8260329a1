#include "engine/sampler.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "engine/philox.h"

/* ---- Mathematics that no C library changes. */

/* exp(x) for x <= 0: x = n ln 2 + r, |r| <= ln(2) / 2, Taylor series to r^13 (remainder below 5e-18), then 2^n by its exponent bits. 0 below -708. */
static inline double exp_nonpositive(double x)
{
    const double log2_e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42fefa3800p-1, ln2_low = 0x1.ef35793c76730p-45, shift = 0x1.8p52;
    double clamped = x < -708.0 ? -708.0 : x;
    double n = clamped * log2_e + shift - shift;
    double r = clamped - n * ln2_high - n * ln2_low;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -708.0 ? 0.0 : p * scale;
}

/* ln(x) for finite normal x > 0: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m + 1)) as a series to the 23rd power. */
static double log_positive(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp0) {
        m *= 0.5;
        exponent++;
    }
    double t = (m - 1.0) / (m + 1.0), square = t * t, sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * square + 1.0 / k;
    return 2.0 * t * sum + exponent * 0x1.62e42fefa39efp-1;
}

/* ---- Life. */

int sampler_init(struct sampler *sampler, int32_t n_vocabulary, struct error *err)
{
    size_t n = (size_t)n_vocabulary;
    sampler->n_vocabulary = n_vocabulary;
    sampler->row = mem_alloc_array(n, sizeof *sampler->row);
    sampler->output_counts = mem_zalloc_array(n, sizeof *sampler->output_counts);
    sampler->seen = mem_zalloc_array(n, sizeof *sampler->seen);
    sampler->weights = mem_alloc_array(n, sizeof *sampler->weights);
    sampler->bins = mem_alloc_array(n, sizeof *sampler->bins);
    sampler->candidates = mem_alloc_array(n > LIMIT_LOGPROBS ? n : LIMIT_LOGPROBS, sizeof *sampler->candidates);
    if (sampler->row && sampler->output_counts && sampler->seen && sampler->weights && sampler->bins && sampler->candidates)
        return 0;
    sampler_free(sampler);
    return error_no_memory(err, "making the sampler");
}

void sampler_free(struct sampler *sampler)
{
    mem_free(sampler->row);
    mem_free(sampler->output_counts);
    mem_free(sampler->seen);
    mem_free(sampler->weights);
    mem_free(sampler->bins);
    mem_free(sampler->candidates);
    sampler->row = NULL;
    sampler->output_counts = NULL;
    sampler->seen = NULL;
    sampler->weights = NULL;
    sampler->bins = NULL;
    sampler->candidates = NULL;
}

/* ---- Parameters. */

static int check_range(const char *name, double value, double minimum, double maximum, struct error *err)
{
    if (value >= minimum && value <= maximum)
        return 0;
    return error_set(err, SAMPAN_EINVAL, "%s is %g, expected %g to %g", name, value, minimum, maximum);
}

int sampling_parameters_check(const struct sampling_parameters *parameters, struct error *err)
{
    const struct {
        const char *name;
        double value, minimum, maximum;
    } ranges[] = {
        {"temperature", parameters->temperature, 0, 100},
        {"top_p", parameters->top_p, 0, 1},
        {"min_p", parameters->min_p, 0, 1},
        {"repetition_penalty", parameters->repetition_penalty, 0, 100},
        {"presence_penalty", parameters->presence_penalty, -100, 100},
        {"frequency_penalty", parameters->frequency_penalty, -100, 100},
        {"top_k", parameters->top_k, 0, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int status = check_range(ranges[i].name, ranges[i].value, ranges[i].minimum, ranges[i].maximum, err);
        if (status)
            return status;
    }
    if (parameters->temperature > 0 && parameters->temperature < 1e-3)
        return error_set(err, SAMPAN_EINVAL, "temperature is %g, expected 0 (greedy) or 0.001 to 100", parameters->temperature);
    return 0;
}

static bool has_repetition_penalty(const struct sampling_parameters *p)
{
    return p->repetition_penalty != 0 && p->repetition_penalty != 1;
}

static bool has_penalties(const struct sampling_parameters *p)
{
    return has_repetition_penalty(p) || p->presence_penalty != 0 || p->frequency_penalty != 0;
}

bool sampling_parameters_are_plain_greedy(const struct sampling_parameters *parameters)
{
    return parameters->temperature == 0 && !has_penalties(parameters);
}

/* ---- Penalties. */

static void apply_repetition_penalty(struct sampler *sampler, const struct sampler_input *input)
{
    float penalty = (float)input->parameters->repetition_penalty;
    for (int32_t i = 0; i < input->n_tokens; i++) {
        int32_t id = input->tokens[i];
        if (sampler->seen[id])
            continue;
        sampler->seen[id] = 1;
        sampler->row[id] = sampler->row[id] > 0 ? sampler->row[id] / penalty : sampler->row[id] * penalty;
    }
    for (int32_t i = 0; i < input->n_tokens; i++)
        sampler->seen[input->tokens[i]] = 0;
}

/* logit -= presence * [count > 0] + frequency * count, over the output */
static void apply_output_penalties(struct sampler *sampler, const struct sampler_input *input)
{
    const struct sampling_parameters *p = input->parameters;
    for (int32_t i = input->n_prompt; i < input->n_tokens; i++)
        sampler->output_counts[input->tokens[i]]++;
    for (int32_t i = input->n_prompt; i < input->n_tokens; i++) {
        int32_t id = input->tokens[i], count = sampler->output_counts[id];
        if (count)
            sampler->row[id] = (float)((double)sampler->row[id] - (p->presence_penalty + p->frequency_penalty * count));
        sampler->output_counts[id] = 0;
    }
}

/* The row after bans and penalties: the caller's where nothing applies, else our copy. */
static const float *adjust_row(struct sampler *sampler, const struct sampler_input *input)
{
    if (!has_penalties(input->parameters) && !input->n_banned)
        return input->logits;
    memcpy(sampler->row, input->logits, (size_t)sampler->n_vocabulary * sizeof(float));
    if (has_repetition_penalty(input->parameters))
        apply_repetition_penalty(sampler, input);
    if (input->parameters->presence_penalty != 0 || input->parameters->frequency_penalty != 0)
        apply_output_penalties(sampler, input);
    for (int32_t i = 0; i < input->n_banned; i++)
        if (input->banned[i] >= 0 && input->banned[i] < sampler->n_vocabulary)
            sampler->row[input->banned[i]] = -INFINITY;
    return sampler->row;
}

/* The largest logit and its lowest id. */
static int find_largest(const float *row, int32_t n, float *largest, int32_t *id, struct error *err)
{
    float best = -INFINITY;
    int32_t n_nan = 0;
    for (int32_t i = 0; i < n; i++) {
        best = row[i] > best ? row[i] : best;
        n_nan += row[i] != row[i];
    }
    if (n_nan)
        return error_set(err, SAMPAN_EINTERNAL, "%d of %d logits are NaN: the model's numbers overflowed or its weights are damaged; try another chip or file",
                         n_nan, n);
    if (best == -INFINITY)
        return error_set(err, SAMPAN_EINTERNAL, "all %d logits are -inf: no token is possible; the model's weights are damaged or everything is banned", n);
    int32_t first = 0;
    while (row[first] != best)
        first++;
    *largest = best;
    *id = first;
    return 0;
}

/* ---- Order of candidates. */

static bool comes_before(struct sampler_candidate a, struct sampler_candidate b)
{
    return a.distance > b.distance || (a.distance == b.distance && a.id < b.id);
}

/* A heap whose root is the candidate that comes last. */
static void sift_down(struct sampler_candidate *heap, int32_t n, int32_t at)
{
    struct sampler_candidate moving = heap[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && comes_before(heap[child], heap[child + 1]))
            child++;
        if (!comes_before(moving, heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void make_heap(struct sampler_candidate *heap, int32_t n)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift_down(heap, n, i);
}

/* A heap becomes the sorted order of candidates. */
static void sort_heap(struct sampler_candidate *heap, int32_t n)
{
    for (int32_t end = n - 1; end > 0; end--) {
        struct sampler_candidate last = heap[0];
        heap[0] = heap[end];
        heap[end] = last;
        sift_down(heap, end, 0);
    }
}

static void sort_candidates(struct sampler_candidate *candidates, int32_t n)
{
    bool sorted = true;
    for (int32_t i = 1; i < n && sorted; i++)
        sorted = comes_before(candidates[i - 1], candidates[i]);
    if (sorted)
        return;
    make_heap(candidates, n);
    sort_heap(candidates, n);
}

/* The k largest of a row in order; `distance` holds the plain logit. Returns how many there are. */
static int32_t select_largest(const float *row, int32_t n, int32_t k, struct sampler_candidate *heap)
{
    if (k > n)
        k = n;
    if (k == 0)
        return 0;
    for (int32_t i = 0; i < k; i++)
        heap[i] = (struct sampler_candidate){row[i], i};
    make_heap(heap, k);
    float smallest = (float)heap[0].distance;
    for (int32_t i = k; i < n; i++) {
        if (!(row[i] > smallest)) /* a tie has a higher id and comes after */
            continue;
        heap[0] = (struct sampler_candidate){row[i], i};
        sift_down(heap, k, 0);
        smallest = (float)heap[0].distance;
    }
    sort_heap(heap, k);
    return k;
}

static double distance_of(float logit, float largest, double temperature)
{
    if (logit == largest)
        return 0; /* +inf - +inf would be NaN */
    return ((double)logit - (double)largest) / temperature;
}

/* ---- A short list: top-k by a heap, then everything on the list. */

static double add_weights(const struct sampler_candidate *candidates, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp_nonpositive(candidates[i].distance);
    return sum;
}

/* Candidates of a sorted list that make up a sum of `target`, when `before` was already reached; all where rounding never gets there. */
static int32_t count_until(const struct sampler_candidate *candidates, int32_t n, double before, double target)
{
    for (int32_t i = 0; i < n; i++) {
        before += exp_nonpositive(candidates[i].distance);
        if (before >= target)
            return i + 1;
    }
    return n;
}

static int32_t count_at_least(const struct sampler_candidate *candidates, int32_t n, double distance)
{
    int32_t count = 0;
    while (count < n && candidates[count].distance >= distance)
        count++;
    return count;
}

static int32_t draw_from_list(const struct sampler_candidate *candidates, int32_t n, double before, double target)
{
    int32_t last = candidates[0].id;
    for (int32_t i = 0; i < n; i++) {
        double weight = exp_nonpositive(candidates[i].distance);
        before += weight;
        if (weight > 0)
            last = candidates[i].id;
        if (before > target)
            break;
    }
    return last;
}

static int32_t choose_from_short_list(struct sampler *sampler, const float *row, float largest, const struct sampling_parameters *p, double uniform)
{
    struct sampler_candidate *list = sampler->candidates;
    int32_t n = select_largest(row, sampler->n_vocabulary, p->top_k, list);
    for (int32_t i = 0; i < n; i++)
        list[i].distance = distance_of((float)list[i].distance, largest, p->temperature);
    if (p->top_p > 0 && p->top_p < 1)
        n = count_until(list, n, 0, p->top_p * add_weights(list, n));
    if (p->min_p > 0)
        n = count_at_least(list, n, log_positive(p->min_p));
    return draw_from_list(list, n, 0, uniform * add_weights(list, n));
}

/* ---- The whole vocabulary in bins. The surviving candidates are all of bins [0, last) and the first n_kept of bin `last` in order. */

struct survivors {
    int32_t last;
    int32_t n_kept;
    bool cut; /* bin `last` is in sampler->candidates, sorted */
};

static int32_t bin_of(double distance)
{
    double bin = -distance * SAMPLER_BINS_PER_NAT;
    return bin < SAMPLER_BINS - 1 ? (int32_t)bin : SAMPLER_BINS - 1;
}

static void fill_bins(struct sampler *sampler, const float *row, float largest, double temperature)
{
    int32_t n = sampler->n_vocabulary;
    memset(sampler->bin_mass, 0, sizeof sampler->bin_mass);
    memset(sampler->bin_count, 0, sizeof sampler->bin_count);
    for (int32_t i = 0; i < n; i++) {
        double distance = distance_of(row[i], largest, temperature);
        sampler->weights[i] = exp_nonpositive(distance);
        sampler->bins[i] = (uint16_t)bin_of(distance);
    }
    for (int32_t i = 0; i < n; i++) {
        sampler->bin_mass[sampler->bins[i]] += sampler->weights[i];
        sampler->bin_count[sampler->bins[i]]++;
    }
}

/* Brings the candidates of one bin into sampler->candidates, in order. */
static void load_bin(struct sampler *sampler, const float *row, float largest, double temperature, int32_t bin)
{
    int32_t count = 0;
    for (int32_t i = 0; i < sampler->n_vocabulary && count < sampler->bin_count[bin]; i++)
        if (sampler->bins[i] == bin)
            sampler->candidates[count++] = (struct sampler_candidate){distance_of(row[i], largest, temperature), i};
    sort_candidates(sampler->candidates, count);
}

static double mass_before(const struct sampler *sampler, int32_t bin)
{
    double sum = 0;
    for (int32_t b = 0; b < bin; b++)
        sum += sampler->bin_mass[b];
    return sum;
}

static double last_mass(const struct sampler *sampler, const struct survivors *s)
{
    return s->cut ? add_weights(sampler->candidates, s->n_kept) : sampler->bin_mass[s->last];
}

/* Makes `bin` the last one, loaded; its candidates all kept unless it was cut before. */
static void end_at_bin(struct sampler *sampler, const float *row, float largest, double temperature, int32_t bin, struct survivors *s)
{
    if (s->cut && s->last == bin)
        return;
    load_bin(sampler, row, largest, temperature, bin);
    *s = (struct survivors){.last = bin, .n_kept = sampler->bin_count[bin], .cut = true};
}

static void keep_top_k(struct sampler *sampler, const float *row, float largest, const struct sampling_parameters *p, struct survivors *s)
{
    int64_t count = 0;
    for (int32_t b = 0; b <= s->last; b++) {
        if (count + sampler->bin_count[b] >= p->top_k) {
            end_at_bin(sampler, row, largest, p->temperature, b, s);
            s->n_kept = (int32_t)(p->top_k - count);
            return;
        }
        count += sampler->bin_count[b];
    }
}

static void keep_top_p(struct sampler *sampler, const float *row, float largest, const struct sampling_parameters *p, struct survivors *s)
{
    double target = p->top_p * (mass_before(sampler, s->last) + last_mass(sampler, s)), sum = 0;
    int32_t bin = 0;
    while (bin < s->last && sum + sampler->bin_mass[bin] < target)
        sum += sampler->bin_mass[bin++];
    end_at_bin(sampler, row, largest, p->temperature, bin, s);
    s->n_kept = count_until(sampler->candidates, s->n_kept, sum, target);
}

static void keep_min_p(struct sampler *sampler, const float *row, float largest, const struct sampling_parameters *p, struct survivors *s)
{
    double distance = log_positive(p->min_p);
    int32_t bin = bin_of(distance);
    if (bin > s->last)
        return;
    end_at_bin(sampler, row, largest, p->temperature, bin, s);
    s->n_kept = count_at_least(sampler->candidates, s->n_kept, distance);
}

static int32_t choose_from_bins(struct sampler *sampler, const float *row, float largest, const struct sampling_parameters *p, double uniform)
{
    struct survivors s = {.last = SAMPLER_BINS - 1};
    fill_bins(sampler, row, largest, p->temperature);
    if (p->top_k > 0 && p->top_k < sampler->n_vocabulary)
        keep_top_k(sampler, row, largest, p, &s);
    if (p->top_p > 0 && p->top_p < 1)
        keep_top_p(sampler, row, largest, p, &s);
    if (p->min_p > 0)
        keep_min_p(sampler, row, largest, p, &s);
    double target = uniform * (mass_before(sampler, s.last) + last_mass(sampler, &s)), sum = 0;
    /* The bin in which the target falls; the last one that has mass where rounding would step beyond it. */
    int32_t bin = 0, drawn = 0;
    double before = 0;
    for (; bin <= s.last; bin++) {
        double mass = bin == s.last ? last_mass(sampler, &s) : sampler->bin_mass[bin];
        if (mass > 0) {
            drawn = bin;
            before = sum;
        }
        sum += mass;
        if (sum > target)
            break;
    }
    if (drawn == s.last && s.cut)
        return draw_from_list(sampler->candidates, s.n_kept, before, target);
    load_bin(sampler, row, largest, p->temperature, drawn);
    return draw_from_list(sampler->candidates, sampler->bin_count[drawn], before, target);
}

int sampler_choose(struct sampler *sampler, const struct sampler_input *input, int32_t *token, struct error *err)
{
    const struct sampling_parameters *p = input->parameters;
    const float *row = adjust_row(sampler, input);
    float largest = 0;
    int status = find_largest(row, sampler->n_vocabulary, &largest, token, err);
    if (status || p->temperature == 0)
        return status;
    double uniform = philox_uniform(p->seed, p->choice, (uint32_t)input->n_tokens);
    bool short_list = p->top_k > 0 && p->top_k <= SAMPLER_MAX_HEAP;
    *token = short_list ? choose_from_short_list(sampler, row, largest, p, uniform) : choose_from_bins(sampler, row, largest, p, uniform);
    return 0;
}

/* ---- Log-probabilities. */

/* ln of the sum of exp(logit), minus the largest logit. With infinite logits the distribution is even among them. */
static double log_mass(const float *row, int32_t n, float largest)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp_nonpositive(distance_of(row[i], largest, 1));
    return log_positive(sum);
}

int sampler_log_probabilities(struct sampler *sampler, const float *logits, int32_t chosen, int32_t n_top, struct engine_logprob *out, struct error *err)
{
    float largest = 0;
    int32_t id;
    int status = find_largest(logits, sampler->n_vocabulary, &largest, &id, err);
    if (status)
        return status;
    double mass = log_mass(logits, sampler->n_vocabulary, largest);
    if (chosen >= 0)
        *out++ = (struct engine_logprob){chosen, (float)(distance_of(logits[chosen], largest, 1) - mass)};
    int32_t n = select_largest(logits, sampler->n_vocabulary, n_top, sampler->candidates);
    for (int32_t i = 0; i < n_top; i++)
        out[i] = i < n ? (struct engine_logprob){sampler->candidates[i].id, (float)(distance_of((float)sampler->candidates[i].distance, largest, 1) - mass)}
                       : (struct engine_logprob){-1, -INFINITY};
    return 0;
}
