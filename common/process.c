/* Finds, starts and waits for other programs. */
#include "common/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/io.h"

enum { MAX_RUNNING = 8 };

static const char own_executable[] = "/proc/self/exe";

/* Read by the signal handler; 0 is a free slot. */
static volatile pid_t running[MAX_RUNNING];

static const char *const *also;
static bool also_alone;

void process_is_also(const char *const *names, bool alone)
{
    also = names;
    also_alone = alone;
}

/* Not without /proc, as in a bare chroot: the program's links are looked for then. */
static bool is_also(const char *name)
{
    if (!also || access(own_executable, X_OK) != 0)
        return false;
    for (size_t i = 0; also[i]; i++)
        if (strcmp(also[i], name) == 0)
            return true;
    return false;
}

static bool is_program(const char *path)
{
    struct stat st;
    return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Returns dir/name, malloc'ed, if it is executable, else NULL. */
static char *program_in(const char *dir, size_t len, const char *name)
{
    char *path = len ? xasprintf("%.*s/%s", (int)len, dir, name) : xasprintf("./%s", name);
    if (is_program(path))
        return path;
    free(path);
    return NULL;
}

static char *program_on_path(const char *name)
{
    const char *p = getenv("PATH");
    while (p) {
        size_t len = strcspn(p, ":");
        char *found = program_in(p, len, name);
        if (found)
            return found;
        p = p[len] ? p + len + 1 : NULL;
    }
    return NULL;
}

char *process_find(const char *argv0, const char *name, struct err *e)
{
    if (also_alone && is_also(name))
        return xstrdup(name);
    char *found = NULL, *own = xrealpath(own_executable);
    const char *slash = strrchr(argv0, '/');
    if (slash)
        found = slash == argv0 ? program_in("/.", 2, name) : program_in(argv0, (size_t)(slash - argv0), name);
    if (!found && own)
        found = program_in(own, (size_t)(strrchr(own, '/') - own), name);
    free(own);
    if (!found)
        found = is_also(name) ? xstrdup(name) : program_on_path(name);
    if (!found)
        err_set(e, NULL, "%s is neither in the directory of this program nor on PATH", name);
    return found;
}

bool process_pipe(int fds[2], struct err *e)
{
    return pipe2(fds, O_CLOEXEC) == 0 || err_set(e, NULL, "cannot create a pipe: %s", strerror(errno));
}

/* Starts argv with the given standard files, the default SIGPIPE and no signal blocked. Returns 0 or an errno
 * value. */
static int spawn(pid_t *pid, char *const argv[], int in, int out)
{
    extern char **environ;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t usual, none;
    int error = posix_spawn_file_actions_init(&files);
    if (error)
        return error;
    error = posix_spawnattr_init(&attr);
    if (error) {
        posix_spawn_file_actions_destroy(&files);
        return error;
    }
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    if (in >= 0)
        error = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    if (!error && out >= 0)
        error = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (!error)
        error = posix_spawnattr_setsigdefault(&attr, &usual);
    if (!error)
        error = posix_spawnattr_setsigmask(&attr, &none);
    if (!error)
        error = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    if (!error)
        error =
            posix_spawn(pid, strchr(argv[0], '/') ? argv[0] : own_executable, &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

bool process_start(struct process *p, char *const argv[], int in, int out, struct err *e)
{
    const char *slash = strrchr(argv[0], '/');
    size_t place = 0;
    pid_t pid;
    *p = (struct process){.name = slash ? slash + 1 : argv[0]};
    while (place < MAX_RUNNING && running[place])
        place++;
    if (place == MAX_RUNNING)
        return err_set(e, p->name, "too many programs are running");
    if (err_interrupted()) {
        err_set(e, p->name, "not started: interrupted");
        return err_classify(e, ERR_INTERRUPTED);
    }
    int error = spawn(&pid, argv, in, out);
    if (error)
        return err_set(e, argv[0], "cannot be run: %s", strerror(error));
    p->pid = pid;
    running[place] = pid;
    if (err_interrupted()) /* the signal arrived before it was in the list */
        kill(pid, SIGTERM);
    return true;
}

int process_wait(struct process *p)
{
    int status;
    if (p->pid == 0)
        return p->status;
    while (waitpid(p->pid, &status, 0) < 0)
        if (errno != EINTR) {
            status = 0;
            p->status = EXIT_TROUBLE;
            break;
        }
    for (size_t i = 0; i < MAX_RUNNING; i++)
        if (running[i] == p->pid)
            running[i] = 0;
    p->pid = 0;
    if (WIFEXITED(status) && p->status == 0)
        p->status = WEXITSTATUS(status);
    else if (WIFSIGNALED(status))
        p->status = 128 + WTERMSIG(status);
    return p->status;
}

void process_end_quietly(struct process *p)
{
    if (p->pid)
        kill(p->pid, SIGUSR1);
    process_wait(p);
}

void process_stop_all(void)
{
    for (size_t i = 0; i < MAX_RUNNING; i++)
        if (running[i])
            kill(running[i], SIGTERM);
}
