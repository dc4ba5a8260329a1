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

static int check_list(const char *name, const void *list, int32_t n, int32_t limit, struct error *err)
{
    if (n < 0 || n > limit)
        return error_set(err, SAMPAN_ELIMIT, "%s has %d entries, expected at most %d", name, n, limit);
    return n && !list ? error_set(err, SAMPAN_EINVAL, "%s has %d entries, but the list is NULL", name, n) : 0;
}

static int check_id(const char *name, int32_t index, int32_t id, int32_t n_vocabulary, struct error *err)
{
    if (id >= 0 && id < n_vocabulary)
        return 0;
    return error_set(err, SAMPAN_EINVAL, "entry %d of %s names token %d, expected 0 to %d", index, name, id, n_vocabulary - 1);
}

static int check_biases(const struct sampling_parameters *parameters, int32_t n_vocabulary, struct error *err)
{
    int status = check_list("logit_bias", parameters->biases, parameters->n_biases, LIMIT_LOGIT_BIASES, err);
    for (int32_t i = 0; i < parameters->n_biases && !status; i++) {
        float bias = parameters->biases[i].bias;
        status = check_id("logit_bias", i, parameters->biases[i].id, n_vocabulary, err);
        if (!status && !(bias == -INFINITY || fabsf(bias) <= LIMIT_LOGIT_BIAS))
            status = error_set(err, SAMPAN_EINVAL, "logit_bias of token %d is %g, expected -%d to %d, or -inf to never choose it", parameters->biases[i].id,
                               (double)bias, LIMIT_LOGIT_BIAS, LIMIT_LOGIT_BIAS);
    }
    return status;
}

static int check_banned(const struct sampling_parameters *parameters, int32_t n_vocabulary, struct error *err)
{
    int status = check_list("banned", parameters->banned, parameters->n_banned, LIMIT_BANNED_SEQUENCES, err);
    for (int32_t i = 0; i < parameters->n_banned && !status; i++) {
        const struct token_sequence *sequence = &parameters->banned[i];
        if (!sequence->ids || sequence->count < 1 || sequence->count > LIMIT_BANNED_SEQUENCE)
            return error_set(err, SAMPAN_EINVAL, "sequence %d of banned has %zu tokens, expected 1 to %d", i, sequence->ids ? sequence->count : 0,
                             LIMIT_BANNED_SEQUENCE);
        for (size_t k = 0; k < sequence->count && !status; k++)
            status = check_id("banned", i, sequence->ids[k], n_vocabulary, err);
    }
    return status;
}

int sampling_parameters_check(const struct sampling_parameters *parameters, int32_t n_vocabulary, struct error *err)
{
    const struct {
        const char *name;
        double value, minimum, maximum;
    } ranges[] = {
        {"temperature", parameters->temperature, 0, 100},
        {"top_p", parameters->top_p, 0, 1},
        {"min_p", parameters->min_p, 0, 1},
        {"typical_p", parameters->typical_p, 0, 1},
        {"repetition_penalty", parameters->repetition_penalty, 0, 100},
        {"presence_penalty", parameters->presence_penalty, -100, 100},
        {"frequency_penalty", parameters->frequency_penalty, -100, 100},
        {"top_k", parameters->top_k, 0, INT32_MAX},
        {"penalty_window", parameters->penalty_window, 0, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        int status = check_range(ranges[i].name, ranges[i].value, ranges[i].minimum, ranges[i].maximum, err);
        if (status)
            return status;
    }
    if (parameters->temperature > 0 && parameters->temperature < 1e-3)
        return error_set(err, SAMPAN_EINVAL, "temperature is %g, expected 0 (greedy) or 0.001 to 100", parameters->temperature);
    int status = check_biases(parameters, n_vocabulary, err);
    return status ? status : check_banned(parameters, n_vocabulary, err);
}

static bool has_repetition_penalty(const struct sampling_parameters *p)
{
    return p->repetition_penalty != 0 && p->repetition_penalty != 1;
}

static bool changes_logits(const struct sampling_parameters *p)
{
    return has_repetition_penalty(p) || p->presence_penalty != 0 || p->frequency_penalty != 0 || p->n_biases || p->n_banned;
}

bool sampling_parameters_are_plain_greedy(const struct sampling_parameters *parameters)
{
    return parameters->temperature == 0 && !changes_logits(parameters);
}

/* ---- Biases and bans. */

static void apply_biases(struct sampler *sampler, const struct sampling_parameters *p)
{
    for (int32_t i = 0; i < p->n_biases; i++) {
        float *logit = &sampler->row[p->biases[i].id];
        *logit = p->biases[i].bias == -INFINITY ? -INFINITY : *logit + p->biases[i].bias; /* +inf - inf would be NaN */
    }
}

/* The last token of each sequence whose others are the end of the log. */
static void apply_bans(struct sampler *sampler, const struct sampler_input *input)
{
    for (int32_t i = 0; i < input->parameters->n_banned; i++) {
        const struct token_sequence *sequence = &input->parameters->banned[i];
        size_t before = sequence->count - 1, n_tokens = (size_t)input->n_tokens;
        if (before <= n_tokens && memcmp(input->tokens + n_tokens - before, sequence->ids, before * sizeof *sequence->ids) == 0)
            sampler->row[sequence->ids[before]] = -INFINITY;
    }
    for (int32_t i = 0; i < input->n_held_back; i++)
        if (input->held_back[i] >= 0 && input->held_back[i] < sampler->n_vocabulary)
            sampler->row[input->held_back[i]] = -INFINITY;
}

/* ---- Penalties. */

/* The first position of the log that penalties look at. */
static int32_t window_start(const struct sampler_input *input)
{
    int32_t window = input->parameters->penalty_window;
    return window > 0 && window < input->n_tokens ? input->n_tokens - window : 0;
}

static void apply_repetition_penalty(struct sampler *sampler, const struct sampler_input *input)
{
    float penalty = (float)input->parameters->repetition_penalty;
    int32_t start = window_start(input);
    for (int32_t i = start; i < input->n_tokens; i++) {
        int32_t id = input->tokens[i];
        if (sampler->seen[id])
            continue;
        sampler->seen[id] = 1;
        sampler->row[id] = sampler->row[id] > 0 ? sampler->row[id] / penalty : sampler->row[id] * penalty;
    }
    for (int32_t i = start; i < input->n_tokens; i++)
        sampler->seen[input->tokens[i]] = 0;
}

/* logit -= presence * [count > 0] + frequency * count, over the output */
static void apply_output_penalties(struct sampler *sampler, const struct sampler_input *input)
{
    const struct sampling_parameters *p = input->parameters;
    int32_t start = window_start(input) > input->n_prompt ? window_start(input) : input->n_prompt;
    for (int32_t i = start; i < input->n_tokens; i++)
        sampler->output_counts[input->tokens[i]]++;
    for (int32_t i = start; i < input->n_tokens; i++) {
        int32_t id = input->tokens[i], count = sampler->output_counts[id];
        if (count)
            sampler->row[id] = (float)((double)sampler->row[id] - (p->presence_penalty + p->frequency_penalty * count));
        sampler->output_counts[id] = 0;
    }
}

/* The row, without what is not allowed. */
static void copy_row(struct sampler *sampler, const struct sampler_input *input)
{
    if (!input->allowed) {
        memcpy(sampler->row, input->logits, (size_t)sampler->n_vocabulary * sizeof(float));
        return;
    }
    for (int32_t id = 0; id < sampler->n_vocabulary; id++)
        sampler->row[id] = id < input->n_allowed && (input->allowed[id / 32] >> (id % 32) & 1) ? input->logits[id] : -INFINITY;
    for (int32_t i = 0; i < input->n_ends; i++)
        if (input->ends[i] >= 0 && input->ends[i] < sampler->n_vocabulary)
            sampler->row[input->ends[i]] = input->logits[input->ends[i]];
}

/* The row after biases, bans and penalties: the caller's where nothing applies, else our copy. */
static const float *adjust_row(struct sampler *sampler, const struct sampler_input *input)
{
    if (!changes_logits(input->parameters) && !input->n_held_back && !input->allowed)
        return input->logits;
    copy_row(sampler, input);
    apply_biases(sampler, input->parameters);
    apply_bans(sampler, input);
    if (has_repetition_penalty(input->parameters))
        apply_repetition_penalty(sampler, input);
    if (input->parameters->presence_penalty != 0 || input->parameters->frequency_penalty != 0)
        apply_output_penalties(sampler, input);
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

/* What candidates are ordered by: their logit or, for typical-p, how far that is from the mean. */
struct order {
    const float *row;
    float largest;
    double temperature;
    bool by_typicality;
    double mean; /* of the distance from the largest, by mass */
};

static double key_of(const struct order *order, int32_t id)
{
    double distance = distance_of(order->row[id], order->largest, order->temperature);
    return order->by_typicality ? -fabs(distance - order->mean) : distance;
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

/* Keeps the most typical of a list, in the list's order; returns how many. */
static int32_t keep_typical_of_list(struct sampler *sampler, struct sampler_candidate *list, int32_t n, struct order order, double share)
{
    double total = 0, moment = 0, sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double weight = exp_nonpositive(list[i].distance);
        sampler->weights[list[i].id] = weight;
        total += weight;
        moment += weight > 0 ? weight * list[i].distance : 0;
    }
    order.by_typicality = true;
    order.mean = moment / total;
    for (int32_t i = 0; i < n; i++)
        sampler->short_list[i] = (struct sampler_candidate){key_of(&order, list[i].id), list[i].id};
    sort_candidates(sampler->short_list, n);
    int32_t last = 0, kept = 0;
    while (last < n - 1 && (sum += sampler->weights[sampler->short_list[last].id]) < share * total)
        last++;
    for (int32_t i = 0; i < n; i++)
        if (!comes_before(sampler->short_list[last], (struct sampler_candidate){key_of(&order, list[i].id), list[i].id}))
            list[kept++] = list[i];
    return kept;
}

static int32_t choose_from_short_list(struct sampler *sampler, const struct order *order, const struct sampling_parameters *p, double uniform)
{
    struct sampler_candidate *list = sampler->candidates;
    int32_t n = select_largest(order->row, sampler->n_vocabulary, p->top_k, list);
    for (int32_t i = 0; i < n; i++)
        list[i].distance = key_of(order, list[i].id);
    if (p->top_p > 0 && p->top_p < 1)
        n = count_until(list, n, 0, p->top_p * add_weights(list, n));
    if (p->min_p > 0)
        n = count_at_least(list, n, log_positive(p->min_p));
    if (p->typical_p > 0 && p->typical_p < 1)
        n = keep_typical_of_list(sampler, list, n, *order, p->typical_p);
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

enum { NO_BIN = SAMPLER_BINS }; /* no candidate any more */

/* Puts all candidates into the bins of an order. */
static void fill_bins(struct sampler *sampler, const struct order *order)
{
    int32_t n = sampler->n_vocabulary;
    memset(sampler->bin_mass, 0, sizeof sampler->bin_mass);
    memset(sampler->bin_count, 0, sizeof sampler->bin_count);
    for (int32_t i = 0; i < n; i++)
        if (sampler->bins[i] != NO_BIN)
            sampler->bins[i] = (uint16_t)bin_of(key_of(order, i));
    for (int32_t i = 0; i < n; i++) {
        if (sampler->bins[i] == NO_BIN)
            continue;
        sampler->bin_mass[sampler->bins[i]] += sampler->weights[i];
        sampler->bin_count[sampler->bins[i]]++;
    }
}

static void weigh_all(struct sampler *sampler, const struct order *order)
{
    for (int32_t i = 0; i < sampler->n_vocabulary; i++) {
        sampler->weights[i] = exp_nonpositive(key_of(order, i));
        sampler->bins[i] = 0;
    }
}

/* Brings the candidates of one bin into sampler->candidates, in order. */
static void load_bin(struct sampler *sampler, const struct order *order, int32_t bin)
{
    int32_t count = 0;
    for (int32_t i = 0; i < sampler->n_vocabulary && count < sampler->bin_count[bin]; i++)
        if (sampler->bins[i] == bin)
            sampler->candidates[count++] = (struct sampler_candidate){key_of(order, i), i};
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
static void end_at_bin(struct sampler *sampler, const struct order *order, int32_t bin, struct survivors *s)
{
    if (s->cut && s->last == bin)
        return;
    load_bin(sampler, order, bin);
    *s = (struct survivors){.last = bin, .n_kept = sampler->bin_count[bin], .cut = true};
}

static void keep_top_k(struct sampler *sampler, const struct order *order, const struct sampling_parameters *p, struct survivors *s)
{
    int64_t count = 0;
    for (int32_t b = 0; b <= s->last; b++) {
        if (count + sampler->bin_count[b] >= p->top_k) {
            end_at_bin(sampler, order, b, s);
            s->n_kept = (int32_t)(p->top_k - count);
            return;
        }
        count += sampler->bin_count[b];
    }
}

static void keep_top_p(struct sampler *sampler, const struct order *order, const struct sampling_parameters *p, struct survivors *s)
{
    double target = p->top_p * (mass_before(sampler, s->last) + last_mass(sampler, s)), sum = 0;
    int32_t bin = 0;
    while (bin < s->last && sum + sampler->bin_mass[bin] < target)
        sum += sampler->bin_mass[bin++];
    end_at_bin(sampler, order, bin, s);
    s->n_kept = count_until(sampler->candidates, s->n_kept, sum, target);
}

static void keep_min_p(struct sampler *sampler, const struct order *order, const struct sampling_parameters *p, struct survivors *s)
{
    double distance = log_positive(p->min_p);
    int32_t bin = bin_of(distance);
    if (bin > s->last)
        return;
    end_at_bin(sampler, order, bin, s);
    s->n_kept = count_at_least(sampler->candidates, s->n_kept, distance);
}

/* Takes away what the cuts so far left out. */
static void drop_cut(struct sampler *sampler, const struct survivors *s)
{
    for (int32_t i = s->n_kept; s->cut && i < sampler->bin_count[s->last]; i++)
        sampler->bins[sampler->candidates[i].id] = NO_BIN;
    for (int32_t i = 0; i < sampler->n_vocabulary; i++)
        if (sampler->bins[i] > s->last)
            sampler->bins[i] = NO_BIN;
}

/* Keeps the most typical: candidates are binned by how typical they are, cut, and binned by their logit again. */
static void keep_typical(struct sampler *sampler, const struct order *order, double share, struct survivors *s)
{
    double total = 0, moment = 0, sum = 0;
    struct order by_typicality = *order;
    int32_t bin = 0, n_kept = 0;
    drop_cut(sampler, s);
    for (int32_t i = 0; i < sampler->n_vocabulary; i++)
        if (sampler->bins[i] != NO_BIN && sampler->weights[i] > 0) {
            total += sampler->weights[i];
            moment += sampler->weights[i] * key_of(order, i);
        }
    by_typicality.by_typicality = true;
    by_typicality.mean = moment / total;
    fill_bins(sampler, &by_typicality);
    while (bin < SAMPLER_BINS - 1 && sum + sampler->bin_mass[bin] < share * total)
        sum += sampler->bin_mass[bin++];
    load_bin(sampler, &by_typicality, bin);
    while (n_kept < sampler->bin_count[bin] && sum < share * total)
        sum += sampler->weights[sampler->candidates[n_kept++].id];
    drop_cut(sampler, &(struct survivors){.last = bin, .n_kept = n_kept, .cut = true});
    fill_bins(sampler, order);
    *s = (struct survivors){.last = SAMPLER_BINS - 1};
}

static int32_t draw_from_bins(struct sampler *sampler, const struct order *order, const struct survivors *s, double uniform)
{
    double target = uniform * (mass_before(sampler, s->last) + last_mass(sampler, s)), sum = 0;
    /* The bin in which the target falls; the last one that has mass where rounding would step beyond it. */
    int32_t bin = 0, drawn = 0;
    double before = 0;
    for (; bin <= s->last; bin++) {
        double mass = bin == s->last ? last_mass(sampler, s) : sampler->bin_mass[bin];
        if (mass > 0) {
            drawn = bin;
            before = sum;
        }
        sum += mass;
        if (sum > target)
            break;
    }
    if (drawn == s->last && s->cut)
        return draw_from_list(sampler->candidates, s->n_kept, before, target);
    load_bin(sampler, order, drawn);
    return draw_from_list(sampler->candidates, sampler->bin_count[drawn], before, target);
}

static int32_t choose_from_bins(struct sampler *sampler, const struct order *order, const struct sampling_parameters *p, double uniform)
{
    struct survivors s = {.last = SAMPLER_BINS - 1};
    weigh_all(sampler, order);
    fill_bins(sampler, order);
    if (p->top_k > 0 && p->top_k < sampler->n_vocabulary)
        keep_top_k(sampler, order, p, &s);
    if (p->top_p > 0 && p->top_p < 1)
        keep_top_p(sampler, order, p, &s);
    if (p->min_p > 0)
        keep_min_p(sampler, order, p, &s);
    if (p->typical_p > 0 && p->typical_p < 1)
        keep_typical(sampler, order, p->typical_p, &s);
    return draw_from_bins(sampler, order, &s, uniform);
}

int sampler_choose(struct sampler *sampler, const struct sampler_input *input, int32_t *token, struct error *err)
{
    const struct sampling_parameters *p = input->parameters;
    struct order order = {.row = adjust_row(sampler, input), .temperature = p->temperature};
    int status = find_largest(order.row, sampler->n_vocabulary, &order.largest, token, err);
    if (status || p->temperature == 0)
        return status;
    double uniform = philox_uniform(p->seed, p->choice, (uint32_t)input->n_tokens);
    bool short_list = p->top_k > 0 && p->top_k <= SAMPLER_MAX_HEAP;
    *token = short_list ? choose_from_short_list(sampler, &order, p, uniform) : choose_from_bins(sampler, &order, p, uniform);
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
