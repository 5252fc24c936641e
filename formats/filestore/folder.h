/* Looks at folders and their entries. What can't be looked at is never taken for absent: ENOENT means that
 * there is nothing of the name; a link that leads nowhere, as to a place that is not mounted, is an error of
 * its own. What network file systems give once (EIO, ESTALE) is tried again. */
#ifndef FORMATS_FILESTORE_FOLDER_H
#define FORMATS_FILESTORE_FOLDER_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/buf.h"

enum {
    CHUNK_SIZE = 64 << 10,  /* bytes read at once from metric files and folders */
    DANGLING_LINK = 0x7000, /* beside the errno values: a link that leads nowhere */
};

/* What an error of the functions below says: strerror's text, or what DANGLING_LINK is. Never freed. */
const char *look_error(int error);

/* What the path is, through links. 0 or an error; ENOENT: nothing is there. */
int look(int at, const char *path, struct stat *st);
/* What is open at fd. 0 or an error. */
int look_at_open(int fd, struct stat *st);
/* Whether an entry of a listed folder is a folder, through links, as os.path.isdir says; type is the one
 * listed. 0 or an error; ENOENT: it is no longer there. */
int entry_is_dir(int dir, const char *name, unsigned char type, bool *is_dir);
/* The type of an entry that was listed as DT_UNKNOWN, itself and not what a link leads to; DT_REG when it is
 * no longer there, and DT_UNKNOWN when it can't be looked at: opening it gives the reason. */
unsigned char entry_type(int dir, const char *name);
/* Opens a folder; -1 with errno set to an error. */
int dir_open(int at, const char *path);
/* open(2) for reading; -1 with errno set to an error. */
int file_open_at(int at, const char *path);
/* read(2) at a position. */
ssize_t file_read_at(int fd, void *data, size_t len, uint64_t offset);

/* -- sorted names of a folder */

struct name_entry {
    uint32_t offset;    /* into text */
    unsigned char type; /* DT_DIR, DT_REG, DT_LNK, ...; DT_UNKNOWN is looked up */
};

struct names { /* a stack: lists of nested folders lie behind one another */
    struct buf text;
    struct name_entry *items;
    size_t n, cap;
};

struct names_mark {
    size_t n, text_len;
};

struct names_mark names_mark(const struct names *names);
void names_release(struct names *names, struct names_mark mark); /* forgets what was listed since */
/* Adds the names of a folder, sorted by bytes, to those there are. 0 or an error, EFBIG for more than 4 GiB
 * of names. chunk has CHUNK_SIZE bytes. */
int names_list(struct names *names, int fd, char *chunk);
const char *names_at(const struct names *names, size_t i); /* until the next names_list */
void names_free(struct names *names);

#endif
