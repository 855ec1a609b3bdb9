/* Choices of a simulated world: from the seed, or from the bytes of a fuzzer. */
#include "sim.h"

#include <string.h>

#define MILLION 1000000u

/* What the seed chooses from for a fault: what strikes often leaves a run going, what strikes
 * seldom ends a part of it. */
enum fault_weight { FAULT_COMMON, FAULT_MEDIUM, FAULT_RARE };

static const uint32_t weight_rates[][4] = {
		[FAULT_COMMON] = {1000, 10000, 50000, 250000},
		[FAULT_MEDIUM] = {200, 2000, 10000, 50000},
		[FAULT_RARE] = {20, 200, 1000, 5000},
};

static enum fault_weight fault_weight(enum pro_sim_fault fault)
{
	switch (fault) {
	case PRO_SIM_SHORT_READ:
	case PRO_SIM_SHORT_WRITE:
	case PRO_SIM_SMALL_BUFFERS:
	case PRO_SIM_DGRAM_LOSS:
	case PRO_SIM_DGRAM_TWICE:
	case PRO_SIM_DGRAM_ORDER:
	case PRO_SIM_FILE_SHORT:
		return FAULT_COMMON;
	case PRO_SIM_DELAY:
	case PRO_SIM_CONNECT:
	case PRO_SIM_ACCEPT:
	case PRO_SIM_ABORT:
	case PRO_SIM_FILE_OPEN:
	case PRO_SIM_RESOLVE:
		return FAULT_MEDIUM;
	case PRO_SIM_PAUSE:
	case PRO_SIM_RESET:
	case PRO_SIM_CLOG:
	case PRO_SIM_PARTITION:
	case PRO_SIM_FILE_ERROR:
	case PRO_SIM_FILE_FULL:
	case PRO_SIM_FAULTS:
		break;
	}
	return FAULT_RARE;
}

/* splitmix64, by Sebastiano Vigna, in the public domain. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
	return value ^ (value >> 31);
}

static uint64_t next_bits(uint64_t *state)
{
	*state += UINT64_C(0x9E3779B97F4A7C15);
	return mix(*state);
}

static uint64_t reduce(uint64_t bits, uint64_t bound)
{
	return bound <= UINT32_MAX ? ((bits >> 32) * bound) >> 32 : bits % bound;
}

/* The bytes that a choice takes are as few as suffice, so that a fuzzer's change of one byte
 * changes one choice. */
static uint64_t take_bytes(struct sim_choices *choices, uint64_t bound)
{
	uint64_t value = 0;

	for (uint64_t most = 1; most < bound && choices->bytes_left > 0; choices->bytes_left--) {
		value = value << 8 | *choices->bytes++;
		most = most > UINT64_MAX >> 8 ? UINT64_MAX : most << 8;
	}
	return value % bound;
}

static uint64_t choose(struct sim_choices *choices, unsigned which, uint64_t bound)
{
	if (bound <= 1)
		return 0;
	if (choices->bytes_left > 0)
		return take_bytes(choices, bound);
	return reduce(next_bits(&choices->states[which]), bound);
}

void pro__sim_choices_init(struct sim_choices *choices, const struct pro_sim_options *options)
{
	memset(choices, 0, sizeof(*choices));
	choices->bytes = options->choices;
	choices->bytes_left = options->choices ? options->choices_size : 0;
	for (unsigned i = 0; i < SIM_CHOICES; i++)
		choices->states[i] = mix(options->seed + UINT64_C(0x9E3779B97F4A7C15) * (i + 1));
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++) {
		const uint32_t *rates = weight_rates[fault_weight((enum pro_sim_fault)i)];
		/* Half of the faults are left out of a run: what strikes always hides what others would
		 * do. */
		uint64_t choice = choose(choices, SIM_CHOICE_FAULT + i, 8);

		if ((options->faults & PRO_SIM_BIT(i)) && choice >= 4)
			choices->rates[i] = rates[choice - 4];
	}
}

uint64_t pro__sim_below(struct pro_sim *sim, uint64_t bound)
{
	return choose(&sim->choices, SIM_CHOICE_SCHEDULE, bound);
}

uint64_t pro__sim_between(struct pro_sim *sim, uint64_t least, uint64_t most)
{
	struct sim_choices *choices = &sim->choices;

	if (most <= least)
		return least;
	/* One byte of a fuzzer is fine enough for a time. */
	if (choices->bytes_left > 0)
		return least + (most - least) / 255 * take_bytes(choices, 256);
	return least + choose(choices, SIM_CHOICE_SCHEDULE, most - least + 1);
}

bool pro__sim_coin(struct pro_sim *sim)
{
	return pro__sim_below(sim, 2) != 0;
}

bool pro__sim_strikes(struct pro_sim *sim, enum pro_sim_fault fault)
{
	struct sim_choices *choices = &sim->choices;
	uint32_t rate = choices->rates[fault];
	bool strikes;

	if (rate == 0)
		return false;
	/* The high bytes of a fuzzer strike, so that zeros are a calm world. */
	if (choices->bytes_left > 0)
		strikes = take_bytes(choices, 256) >= 255 - (uint64_t)rate * 255 / MILLION;
	else
		strikes = choose(choices, SIM_CHOICE_FAULT + (unsigned)fault, MILLION) < rate;
	if (strikes)
		pro__sim_trace(sim, SIM_TRACE_FAULT, NULL, PRO_INVALID_HANDLE, (unsigned)fault, 0, 0);
	return strikes;
}

uint64_t pro__sim_fault_below(struct pro_sim *sim, enum pro_sim_fault fault, uint64_t bound)
{
	return choose(&sim->choices, SIM_CHOICE_FAULT + (unsigned)fault, bound);
}

uint64_t pro__sim_user_bits(struct pro_sim *sim)
{
	return next_bits(&sim->choices.states[SIM_CHOICE_USER]);
}

uint64_t pro_sim_random(struct pro_sim *sim)
{
	return pro__sim_user_bits(sim);
}

uint64_t pro_sim_choose(struct pro_sim *sim, uint64_t bound)
{
	return bound <= 1 ? 0 : choose(&sim->choices, SIM_CHOICE_USER, bound);
}

uint32_t pro_sim_rate(const struct pro_sim *sim, enum pro_sim_fault fault)
{
	return fault < PRO_SIM_FAULTS ? sim->choices.rates[fault] : 0;
}

void pro_sim_set_rate(struct pro_sim *sim, enum pro_sim_fault fault, uint32_t per_million)
{
	if (fault < PRO_SIM_FAULTS)
		sim->choices.rates[fault] = per_million < MILLION ? per_million : MILLION;
}

/* ---- names ---- */

static const char *const fault_texts[PRO_SIM_FAULTS] = {
#define FAULT_TEXT(name, text, what) [PRO_SIM_##name] = text,
		PRO_SIM_FAULT_LIST(FAULT_TEXT)
#undef FAULT_TEXT
};

const char *pro_sim_fault_text(enum pro_sim_fault fault)
{
	return fault < PRO_SIM_FAULTS ? fault_texts[fault] : NULL;
}

static int fault_of(const char *text, size_t length, uint64_t *bits)
{
	if (length == 4 && memcmp(text, "none", 4) == 0) {
		*bits = 0;
		return 0;
	}
	if (length == 3 && memcmp(text, "all", 3) == 0) {
		*bits = PRO_SIM_ALL;
		return 0;
	}
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++)
		if (strlen(fault_texts[i]) == length && memcmp(fault_texts[i], text, length) == 0) {
			*bits = PRO_SIM_BIT(i);
			return 0;
		}
	return PRO_EINVAL;
}

int pro_sim_faults_parse(const char *text, uint64_t *faults)
{
	uint64_t all = 0;

	if (!text || !faults)
		return PRO_EINVAL;
	for (;;) {
		size_t length = strcspn(text, ",");
		uint64_t bits;
		int error = fault_of(text, length, &bits);

		if (error)
			return error;
		all |= bits;
		if (!text[length])
			break;
		text += length + 1;
	}
	*faults = all;
	return 0;
}
