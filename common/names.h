/* Sorted lists of names, such as those of a directory's entries, of any length: what does not fit into the
 * room that all lists of a program share is sorted in temporary files, and read from one as it is gone
 * through. Lists are nested: the last one that was begun ends first. Each `struct names` belongs to one
 * thread, the room to all. A disk that is full ends the program with a message, as memory that can't be had
 * does (err_no_memory). */
#ifndef COMMON_NAMES_H
#define COMMON_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum {
    NAMES_SIZE = 1024,    /* bytes of a name and its NUL; Linux has no longer ones */
    NAMES_ROOM = 4 << 20, /* bytes of names in memory, some 100,000 */
};

struct names_room;
/* dir: the directory for files, if any are needed; it must live as long. bytes: of all lists in memory, but
 * for short ones. Never returns NULL. */
struct names_room *names_room_new(const char *dir, size_t bytes);
void names_room_free(struct names_room *r); /* NULL is fine */

struct name_item {
    uint32_t offset;    /* in the text */
    unsigned char type; /* of the caller's */
};

/* The lists of a thread, one behind the other. Initialise it with its room; names_free() ends it. */
struct names {
    struct names_room *room;
    struct buf text;
    struct name_item *items;
    size_t n, cap;
};
void names_free(struct names *names);

struct name_list {
    char name[NAMES_SIZE]; /* the current one */
    unsigned char type;    /* its type */
    struct names *names;   /* these are private */
    size_t first, next, text_from, charged;
    struct names_file *file; /* NULL: the list is in memory */
};

/* To be called in this order: begin, add for each name, sort, next until it is false, end. */
void names_begin(struct names *names, struct name_list *l);
void names_add(struct name_list *l, const char *name, unsigned char type);
void names_restart(struct name_list *l); /* forgets what was added, before sort */
/* Sorts by bytes; equal names stay in the order in which they were added. */
void names_sort(struct name_list *l);
bool names_next(struct name_list *l);
void names_end(struct name_list *l);

#endif
