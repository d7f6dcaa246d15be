/* churn.c: a program that is busy in every way, and finds out when anything
 * that it did is not as it left it. For snapshots at any moment of it.
 *
 *   churn FOLDER PROCESSES
 *
 * Each process goes round by round. What a round leaves behind follows from its
 * number alone, so that all of it can be checked at any time:
 *
 *   compute   a generator's state, compared with a jump to the same round
 *   memory    one page of many, filled with the round; an older one is checked
 *   disk      a record appended to a file and synced; the last ones are checked
 *             against what memory says was written: disk and memory of one
 *             moment agree, those of two do not
 *   fork      a child that must end with the round's status
 *   clock     the monotonic clock does not go back, nor leap by more than LEAP;
 *             if it does, how long ago each of the others had said the time
 *             tells a clock that leapt, or a machine that stood still, from one
 *             process that did
 *   say       a line on stdout: "process round"
 *
 * The first thing that is wrong is said on stderr, "wrong: ...", and ends all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PROCESSES_MAX = 64,
    PAGES = 256,
    PAGE_WORDS = 512,
    RECORDS_MAX = 4096, /* then the file begins anew                       */
    LOOK_BACK = 8,      /* records that each round reads                   */
    LEAP_S = 20         /* of the monotonic clock, from round to round     */
};

struct record {
    uint64_t process;
    uint64_t round;
    uint64_t state;
    uint64_t check; /* of the three */
};

struct churn {
    uint64_t process;
    uint64_t round;
    uint64_t state; /* of the generator */
    uint64_t *pages;
    int file;
    struct timespec before;
};

/* Of each process, by its number: the time at the end of its last round. */
static struct timespec *times;

static const uint64_t factor = UINT64_C(6364136223846793005);
static const uint64_t step = UINT64_C(1442695040888963407);

static void wrong(const struct churn *churn, const char *what, uint64_t found,
                  uint64_t expected)
{
    fprintf(stderr, "wrong: process %llu, round %llu: %s: %llu, not %llu\n",
            (unsigned long long)churn->process,
            (unsigned long long)churn->round, what, (unsigned long long)found,
            (unsigned long long)expected);
    kill(0, SIGKILL);
    _exit(1);
}

static void expect(const struct churn *churn, const char *what, uint64_t found,
                   uint64_t expected)
{
    if (found != expected)
        wrong(churn, what, found, expected);
}

/* The generator's state after (rounds), without going through them. */
static uint64_t state_at(uint64_t seed, uint64_t rounds)
{
    uint64_t a = factor;
    uint64_t c = step;
    uint64_t state = seed;

    for (; rounds; rounds >>= 1) {
        if (rounds & 1)
            state = a * state + c;
        c = (a + 1) * c;
        a = a * a;
    }
    return state;
}

static void compute(struct churn *churn)
{
    churn->state = factor * churn->state + step;
    expect(churn, "compute", churn->state,
           state_at(churn->process, churn->round));
}

static void use_memory(struct churn *churn)
{
    uint64_t *page = churn->pages + churn->round % PAGES * PAGE_WORDS;
    uint64_t back = 1 + churn->state % (PAGES - 1);
    uint64_t old = churn->round - back;

    for (int i = 0; i < PAGE_WORDS; i++)
        page[i] = churn->round;
    if (churn->round <= back)
        return;
    page = churn->pages + old % PAGES * PAGE_WORDS;
    for (int i = 0; i < PAGE_WORDS; i++)
        expect(churn, "memory", page[i], old);
}

static struct record record_of(const struct churn *churn, uint64_t round)
{
    struct record record = {.process = churn->process,
                            .round = round,
                            .state = state_at(churn->process, round)};

    record.check = (record.process ^ record.round) * factor + record.state;
    return record;
}

static off_t place_of(uint64_t round)
{
    return (off_t)(round % RECORDS_MAX * sizeof(struct record));
}

/* The records up to this round are there, and none of a later one. */
static void use_disk(struct churn *churn)
{
    struct record record = record_of(churn, churn->round);
    struct record found;

    if (pwrite(churn->file, &record, sizeof record, place_of(churn->round)) !=
            sizeof record ||
        fdatasync(churn->file) != 0)
        wrong(churn, "disk: errno", (uint64_t)errno, 0);
    for (uint64_t back = 0; back < LOOK_BACK && back < churn->round; back++) {
        record = record_of(churn, churn->round - back);
        if (pread(churn->file, &found, sizeof found, place_of(record.round)) !=
            sizeof found)
            wrong(churn, "disk: errno", (uint64_t)errno, 0);
        expect(churn, "disk: round", found.round, record.round);
        expect(churn, "disk: check", found.check, record.check);
    }
    if (churn->round + 1 < RECORDS_MAX)
        expect(churn, "disk: a later round",
               (uint64_t)pread(churn->file, &found, sizeof found,
                               place_of(churn->round + 1)),
               0);
}

static void fork_child(struct churn *churn)
{
    int expected = (int)(churn->round & 0x7f);
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(expected);
    if (child < 0 || waitpid(child, &status, 0) != child)
        wrong(churn, "fork: errno", (uint64_t)errno, 0);
    expect(churn, "fork: status", (uint64_t)status, (uint64_t)expected << 8);
}

static int64_t ns_between(const struct timespec *from,
                          const struct timespec *to)
{
    return (int64_t)(to->tv_sec - from->tv_sec) * 1000000000 +
           (to->tv_nsec - from->tv_nsec);
}

static void look_at_clock(struct churn *churn)
{
    struct timespec now;
    int64_t passed;

    clock_gettime(CLOCK_MONOTONIC, &now);
    passed = ns_between(&churn->before, &now);
    if (passed < 0 || passed > LEAP_S * INT64_C(1000000000)) {
        for (int i = 1; i <= PROCESSES_MAX && times[i].tv_sec; i++)
            fprintf(stderr, "process %d was here %lld ms ago\n", i,
                    (long long)ns_between(&times[i], &now) / 1000000);
        wrong(churn, "clock: ns that passed", (uint64_t)passed, 0);
    }
    churn->before = times[churn->process] = now;
}

static void go(struct churn *churn)
{
    char line[64];
    int length;

    for (;;) {
        churn->round++;
        compute(churn);
        use_memory(churn);
        use_disk(churn);
        fork_child(churn);
        look_at_clock(churn);
        length = snprintf(line, sizeof line, "%llu %llu\n",
                          (unsigned long long)churn->process,
                          (unsigned long long)churn->round);
        if (write(STDOUT_FILENO, line, (size_t)length) != length)
            _exit(1);
    }
}

static void begin(const char *folder, uint64_t process)
{
    struct churn churn = {.process = process, .state = process};
    char path[4096];

    snprintf(path, sizeof path, "%s/churn.%llu", folder,
             (unsigned long long)process);
    churn.file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    churn.pages = calloc(PAGES * PAGE_WORDS, sizeof *churn.pages);
    clock_gettime(CLOCK_MONOTONIC, &churn.before);
    if (churn.file < 0 || !churn.pages)
        wrong(&churn, "begin: errno", (uint64_t)errno, 0);
    go(&churn);
}

int main(int argc, char **argv)
{
    long processes = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    int status = 0;

    if (processes < 1 || processes > PROCESSES_MAX) {
        fprintf(stderr, "usage: churn FOLDER PROCESSES\n");
        return 2;
    }
    times = mmap(NULL, (PROCESSES_MAX + 2) * sizeof *times,
                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (times == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    for (long i = 1; i <= processes; i++)
        if (fork() == 0)
            begin(argv[1], (uint64_t)i);
    /* None ends but by what is wrong. */
    wait(&status);
    return 1;
}
