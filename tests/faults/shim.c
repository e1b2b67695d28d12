/* Stands between a process and the system's calls that change files (LD_PRELOAD), to make some of them fail and to write down all.

   Rules kept here: only what lies below one folder is touched; which call fails is decided by a control file that all
   processes share and the test rewrites while they run (`shim.py` has the same layout); a failed call does nothing, but for a
   torn write, which writes half; a traced call and its record are one step, so that records stand in the order of the calls.

   Environment: FAULTS_CONTROL, the control file; FAULTS_TRACE, the file that records are appended to, or nothing. */

#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, TRUNCATE = 16, RENAME = 32, LINK = 64, UNLINK = 128, MKDIR = 256, CREATE = 512 };
enum { PATH = 1024, KILL = -1 };

struct control {
    uint64_t count;  /* calls that were looked at, whatever became of them */
    uint64_t first;  /* the first call that fails, 0 for none */
    uint64_t last;   /* the last one */
    uint64_t hits;   /* calls that have failed */
    int64_t step;    /* nanoseconds by which the wall clock is off */
    int32_t error;   /* errno, or KILL */
    uint32_t kinds;  /* which calls are looked at */
    uint32_t torn;   /* whether the first of them is half a write */
    char below[PATH];
};

struct record { /* followed by path, other path and bytes */
    uint32_t kind, inode_high, inode_low, path, other, bytes;
    int64_t offset;
};

static struct control *control;
static int trace = -1;
static pthread_mutex_t step = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL"), *records = getenv("FAULTS_TRACE");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (shared == MAP_FAILED) return;
    if (records && *records) trace = (int)syscall(SYS_openat, AT_FDCWD, records, O_WRONLY | O_APPEND | O_CLOEXEC | O_CREAT, 0600);
    control = shared;
}

static int is_below(const char *path) {
    size_t size = strlen(control->below);
    return size && path && !strncmp(path, control->below, size);
}

static int is_ours(int fd, char *path) {
    char link[64];
    if (!control || fd == trace) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return is_below(path);
}

/* Whether this call fails; then errno says why. */
static int fails(enum kind kind) {
    if (!(control->kinds & kind)) return 0;
    uint64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (!control->first || number < control->first || number > control->last) return 0;
    __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
    if (control->error == KILL) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = control->error;
    return 1;
}

static int is_torn(void) { return control->torn && control->count == control->first; }

static void enter(void) {
    if (trace >= 0) pthread_mutex_lock(&step);
}

static void leave(void) {
    int kept = errno;
    if (trace >= 0) pthread_mutex_unlock(&step);
    errno = kept;
}

static void put(enum kind kind, uint64_t inode, int64_t offset, const char *path, const char *other, const void *data, size_t size) {
    if (trace < 0) return;
    int kept = errno;
    struct record record = {kind, inode >> 32, (uint32_t)inode, strlen(path), other ? strlen(other) : 0, size, offset};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)path, record.path}, {(void *)other, record.other}, {(void *)data, size}};
    if (syscall(SYS_writev, trace, parts, 4) < 0) abort();
    errno = kept;
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

/* -- opening */

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!control || !is_below(path)) return real(path, flags, mode);
    int is_writing = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (fails(is_writing ? OPEN : READ)) return -1;
    struct stat found;
    enter();
    int is_new = flags & O_CREAT && stat(path, &found);
    int fd = real(path, flags, mode);
    if (fd >= 0 && is_new) put(CREATE, inode_of(fd), 0, path, NULL, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC) put(TRUNCATE, inode_of(fd), 0, path, NULL, NULL, 0);
    leave();
    return fd;
}

static mode_t mode_of(int flags, va_list given) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(given, mode_t) : 0; }

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list given; \
        va_start(given, flags); \
        mode_t mode = mode_of(flags, given); \
        va_end(given); \
        return opened(real, path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

int openat64(int folder, const char *path, int flags, ...) {
    REAL(int, openat64, int, const char *, int, ...);
    va_list given;
    va_start(given, flags);
    mode_t mode = mode_of(flags, given);
    va_end(given);
    if (folder == AT_FDCWD) return open64(path, flags, mode);
    return real(folder, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    va_list given;
    va_start(given, flags);
    mode_t mode = mode_of(flags, given);
    va_end(given);
    return openat64(folder, path, flags, mode);
}

FILE *fopen(const char *path, const char *how) {
    REAL(FILE *, fopen, const char *, const char *);
    if (control && is_below(path) && fails(strpbrk(how, "wa+") ? OPEN : READ)) return NULL;
    return real(path, how);
}

/* -- writing */

static ssize_t written(int fd, const void *data, size_t size, off_t offset, int is_at, const char *path) {
    int failed = fails(WRITE);
    if (failed && !is_torn()) return -1;
    size = failed ? (size + 1) / 2 : size;
    enter();
    if (!is_at) {
        struct stat found;
        int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
        offset = flags & O_APPEND && !fstat(fd, &found) ? found.st_size : lseek(fd, 0, SEEK_CUR);
    }
    ssize_t count = is_at ? syscall(SYS_pwrite64, fd, data, size, offset) : syscall(SYS_write, fd, data, size);
    if (count > 0) put(WRITE, inode_of(fd), offset, path, NULL, data, count);
    leave();
    return count;
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    char path[PATH];
    return is_ours(fd, path) ? written(fd, data, size, 0, 0, path) : real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    char path[PATH];
    return is_ours(fd, path) ? written(fd, data, size, offset, 1, path) : real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    char path[PATH];
    if (!is_ours(fd, path)) return real(fd, parts, count);
    return count ? written(fd, parts[0].iov_base, parts[0].iov_len, 0, 0, path) : 0; /* a short write: the caller goes on */
}

static int synced(int (*real)(int), int fd) {
    char path[PATH];
    if (!is_ours(fd, path)) return real(fd);
    if (fails(SYNC)) return -1;
    enter();
    int result = real(fd);
    if (!result) put(SYNC, inode_of(fd), 0, path, NULL, NULL, 0);
    leave();
    return result;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return synced(real, fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return synced(real, fd);
}

int ftruncate64(int fd, off64_t size) {
    char path[PATH];
    if (!is_ours(fd, path)) return (int)syscall(SYS_ftruncate, fd, size);
    if (fails(TRUNCATE)) return -1;
    enter();
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (!result) put(TRUNCATE, inode_of(fd), size, path, NULL, NULL, 0);
    leave();
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fallocate(int fd, int mode, off_t offset, off_t size) {
    REAL(int, fallocate, int, int, off_t, off_t);
    char path[PATH];
    if (is_ours(fd, path) && fails(WRITE)) return -1;
    return real(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }

int posix_fallocate(int fd, off_t offset, off_t size) {
    REAL(int, posix_fallocate, int, off_t, off_t);
    char path[PATH];
    return is_ours(fd, path) && fails(WRITE) ? errno : real(fd, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }

/* -- names */

#define NAMING(name, kind) \
    int name(const char *path, const char *other) { \
        REAL(int, name, const char *, const char *); \
        if (!control || !is_below(path)) return real(path, other); \
        if (fails(kind)) return -1; \
        enter(); \
        int result = real(path, other); \
        if (!result) put(kind, 0, 0, path, other, NULL, 0); \
        leave(); \
        return result; \
    }
NAMING(rename, RENAME)
NAMING(link, LINK)

int linkat(int from, const char *path, int to, const char *other, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    return from == AT_FDCWD && to == AT_FDCWD && !flags ? link(path, other) : real(from, path, to, other, flags);
}

int renameat(int from, const char *path, int to, const char *other) {
    REAL(int, renameat, int, const char *, int, const char *);
    return from == AT_FDCWD && to == AT_FDCWD ? rename(path, other) : real(from, path, to, other);
}

#define REMOVING(name) \
    int name(const char *path) { \
        REAL(int, name, const char *); \
        if (!control || !is_below(path)) return real(path); \
        if (fails(UNLINK)) return -1; \
        enter(); \
        int result = real(path); \
        if (!result) put(UNLINK, 0, 0, path, NULL, NULL, 0); \
        leave(); \
        return result; \
    }
REMOVING(unlink)
REMOVING(rmdir)

int unlinkat(int folder, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char base[PATH], whole[2 * PATH];
    if (folder == AT_FDCWD || !is_ours(folder, base)) return real(folder, path, flags);
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return flags & AT_REMOVEDIR ? rmdir(whole) : unlink(whole);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    if (!control || !is_below(path)) return real(path, mode);
    if (fails(MKDIR)) return -1;
    enter();
    int result = real(path, mode);
    if (!result) put(MKDIR, 0, 0, path, NULL, NULL, 0);
    leave();
    return result;
}

/* -- the clock */

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && control && clock == CLOCK_REALTIME && control->step) {
        int64_t stepped = now->tv_sec * 1000000000LL + now->tv_nsec + control->step;
        now->tv_sec = stepped / 1000000000LL;
        now->tv_nsec = stepped % 1000000000LL;
    }
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return out ? (*out = now.tv_sec) : now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}
