/* Sorted lists of names, in memory and in files. */
#include "tests/unit/tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/names.h"

static const char *dir;

/* A list of n numbers as names, added in disorder (n has no factor of 7919). */
static void fill(struct names *names, struct name_list *l, uint64_t n, int width)
{
    char name[NAMES_SIZE];
    names_begin(names, l);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = i * 7919 % n;
        snprintf(name, sizeof name, "%0*d", width, (int)number);
        names_add(l, name, (unsigned char)(number % 200));
    }
    names_sort(l);
}

/* How many of the next ones, up to n, are not as fill() made them. */
static uint64_t wrong_of(struct name_list *l, uint64_t from, uint64_t n, int width)
{
    uint64_t wrong = 0;
    char name[NAMES_SIZE];
    for (uint64_t i = from; i < n; i++) {
        snprintf(name, sizeof name, "%0*d", width, (int)i);
        wrong += !names_next(l) || strcmp(l->name, name) != 0 || l->type != i % 200;
    }
    return wrong;
}

static void test_list(size_t bytes, uint64_t n, int width, bool in_file, const char *what)
{
    struct names_room *room = names_room_new(dir, bytes);
    struct names names = {.room = room};
    struct name_list l;
    fill(&names, &l, n, width);
    is_int(l.file != NULL, in_file, "%d names, %s", (int)n, what);
    is_int((int64_t)wrong_of(&l, 0, n, width), 0, "sorted, with their types");
    ok(!names_next(&l) && !names_next(&l), "then it ends");
    names_end(&l);
    names_begin(&names, &l);
    names_sort(&l);
    ok(!names_next(&l), "an empty list");
    names_end(&l);
    names_free(&names);
    names_room_free(room);
}

static void test_order(size_t bytes, const char *what)
{
    static const char *const sorted[] = {"a", "a", "a.b", "aa", "b", "\xc3\xa9"};
    struct names_room *room = names_room_new(dir, bytes);
    struct names names = {.room = room};
    struct name_list l;
    char many[NAMES_SIZE];
    names_begin(&names, &l);
    names_add(&l, "forgotten", 0);
    names_restart(&l);
    for (int i = 0; i < 1000; i++) { /* after the others, so that the list is as long as it must be */
        snprintf(many, sizeof many, "\xff%04d", i);
        names_add(&l, many, 0);
    }
    for (int i = 5; i >= 0; i--)
        names_add(&l, sorted[i], (unsigned char)(9 - i));
    names_sort(&l);
    for (int i = 0; i < 6; i++) {
        ok(names_next(&l) && strcmp(l.name, sorted[i]) == 0, "%s: %s", what, sorted[i]);
        if (i < 2)
            is_int(l.type, i == 0 ? 8 : 9, "equal ones in the order in which they came");
    }
    names_end(&l);
    names_free(&names);
    names_room_free(room);
}

/* Lists within lists: the outer ones stay where they are, and what one took is free when it has ended. */
static void test_nested(void)
{
    enum { DEPTH = 5, N = 3000 };
    struct names_room *room = names_room_new(dir, 200 << 10);
    struct names names = {.room = room};
    struct name_list *lists = calloc(DEPTH, sizeof *lists);
    uint64_t wrong = 0, files = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < DEPTH; i++) {
            fill(&names, &lists[i], N, 30);
            files += lists[i].file != NULL;
            wrong += wrong_of(&lists[i], 0, N / 2, 30);
        }
        for (int i = DEPTH; i-- > 0;) {
            wrong += wrong_of(&lists[i], N / 2, N, 30);
            names_end(&lists[i]);
        }
    }
    is_int((int64_t)wrong, 0, "five lists, one within the other, twice");
    is_int((int64_t)files, 2 * (DEPTH - 1), "the room is for one of them, each time");
    fill(&names, &lists[0], 30, 30);
    fill(&names, &lists[1], N, 30);
    fill(&names, &lists[2], 30, 30);
    ok(!lists[0].file && !lists[1].file && !lists[2].file, "short ones take none of it");
    for (int i = 3; i-- > 0;)
        names_end(&lists[i]);
    free(lists);
    names_free(&names);
    names_room_free(room);
}

enum { THREADS = 8, OF_THREAD = 20000 };

static void *list_in_thread(void *arg)
{
    struct names names = {.room = arg};
    struct name_list *l = malloc(sizeof *l);
    uint64_t wrong = 0;
    for (int i = 0; i < 3; i++) {
        fill(&names, l, OF_THREAD, 20);
        wrong += wrong_of(l, 0, OF_THREAD, 20);
        names_end(l);
    }
    free(l);
    names_free(&names);
    return wrong ? arg : NULL;
}

static void test_threads(void)
{
    struct names_room *room = names_room_new(dir, 1 << 20);
    pthread_t threads[THREADS];
    int wrong = 0;
    void *result;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, list_in_thread, room);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        wrong += result != NULL;
    }
    is_int(wrong, 0, "threads that share a room");
    names_room_free(room);
}

int main(void)
{
    dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    test_list(NAMES_ROOM, 10, 4, false, "a few");
    test_list(NAMES_ROOM, 50000, 33, false, "in memory");
    test_list(64 << 10, 5000, 33, true, "in a file");
    test_list(NAMES_ROOM, 300000, 33, true, "of more than one run in files");
    test_list(0, 300, NAMES_SIZE - 1, true, "the longest names");
    test_order(NAMES_ROOM, "in memory");
    test_order(0, "in a file");
    test_nested();
    test_threads();
    return done_testing();
}
