/* program.c: from a command's name to a running program; see program.h.
 *
 * How it works
 *   execve() itself is the lookup: it is tried on each candidate, so a file
 *   that exists is not examined twice on the way that succeeds. Only after a
 *   failure the file is looked into, to say what a user can do about it: that
 *   a script's interpreter is missing is not "not found".
 */
#include "program.h"

#include "base/bytes.h"
#include "base/own.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void refuse(struct agent_failure *ret, enum agent_reason reason,
                   int os_error, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void refuse(struct agent_failure *ret, enum agent_reason reason,
                   int os_error, const char *fmt, ...)
{
    va_list ap;

    ret->reason = reason;
    ret->os_error = (uint32_t)os_error;
    va_start(ap, fmt);
    vsnprintf(ret->message, sizeof ret->message, fmt, ap);
    va_end(ap);
}

/* The interpreter in "#! /bin/sh -e", "" if it is no script. */
static void script_interpreter(const char *head, size_t count, char *ret,
                               size_t size)
{
    size_t length;

    ret[0] = '\0';
    if (count < 2 || head[0] != '#' || head[1] != '!')
        return;
    head += 2;
    head += strspn(head, " \t");
    length = strcspn(head, " \t\r\n");
    snprintf(ret, size, "%.*s", (int)length, head);
}

/* The dynamic loader that an ELF program of this word size names, or "". */
static void elf_interpreter(int fd, const Elf64_Ehdr *head, char *ret,
                            size_t size)
{
    ret[0] = '\0';
    for (unsigned i = 0; i < head->e_phnum; i++) {
        Elf64_Phdr part;
        off_t at = (off_t)(head->e_phoff + i * sizeof part);
        size_t wanted;
        ssize_t count;

        if (pread(fd, &part, sizeof part, at) != sizeof part)
            return;
        if (part.p_type != PT_INTERP)
            continue;
        wanted = min_u64(part.p_filesz, size - 1);
        count = pread(fd, ret, wanted, (off_t)part.p_offset);
        ret[count < 0 ? 0 : count] = '\0';
        return;
    }
}

/* The file is there, and yet execve() says ENOENT or ENOTDIR: what it needs
 * is missing. */
static void explain_missing(const char *file, int os_error,
                            struct agent_failure *ret)
{
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
    _Alignas(Elf64_Ehdr) char head[256 + 1] = {0};
    char needs[256] = "";
    ssize_t count = fd < 0 ? 0 : read(fd, head, sizeof head - 1);

    if (count > 0)
        script_interpreter(head, (size_t)count, needs, sizeof needs);
    if (needs[0]) {
        size_t length = strlen(head);
        size_t line = strcspn(head, "\n");

        refuse(ret, AGENT_NOT_FOUND, os_error,
               "%s: its interpreter %s is not in the image%s", file, needs,
               line < length && line > 0 && head[line - 1] == '\r'
                   ? " (the first line ends with a carriage return)"
                   : "");
        return;
    }
    if (count >= (ssize_t)sizeof(Elf64_Ehdr) &&
        memcmp(head, ELFMAG, SELFMAG) == 0 && head[EI_CLASS] == ELFCLASS64)
        elf_interpreter(fd, (const void *)head, needs, sizeof needs);
    if (needs[0])
        refuse(ret, AGENT_NOT_FOUND, os_error,
               "%s: its dynamic loader %s is not in the image", file, needs);
    else
        refuse(ret, AGENT_NOT_FOUND, os_error,
               "%s: its interpreter is not in the image", file);
}

/* execve() of (file) failed with (os_error). */
static void explain(const char *file, int os_error, struct agent_failure *ret)
{
    struct stat st;
    bool exists = stat(file, &st) == 0;

    switch (os_error) {
    case ENOENT:
    case ENOTDIR:
        if (exists)
            explain_missing(file, os_error, ret);
        else
            refuse(ret, AGENT_NOT_FOUND, os_error, "%s: not found", file);
        break;
    case EACCES:
    case EPERM:
        if (exists && S_ISDIR(st.st_mode))
            refuse(ret, AGENT_NOT_EXECUTABLE, EISDIR, "%s: is a directory",
                   file);
        else if (exists && !(st.st_mode & 0111))
            refuse(ret, AGENT_NOT_EXECUTABLE, os_error,
                   "%s: not executable: no x permission (chmod +x)", file);
        else
            refuse(ret, AGENT_NOT_EXECUTABLE, os_error, "%s: permission denied",
                   file);
        break;
    case ENOEXEC:
        refuse(ret, AGENT_NOT_EXECUTABLE, os_error,
               "%s: not a program for this processor, nor a script that "
               "begins with #!",
               file);
        break;
    case E2BIG:
        refuse(ret, AGENT_NO_RESOURCES, os_error,
               "%s: arguments and environment are too long", file);
        break;
    case ENOMEM:
    case EAGAIN:
        refuse(ret, AGENT_NO_RESOURCES, os_error, "%s: %s", file,
               strerror(os_error));
        break;
    default:
        refuse(ret, AGENT_NOT_EXECUTABLE, os_error, "%s: %s", file,
               strerror(os_error));
    }
}

/* Try all folders of (path). Returns if none has it, or the first that has it
 * does not let it run: then *ret is filled. */
static bool try_path(char *const argv[], char *const env[], const char *path,
                     struct agent_failure *ret)
{
    char denied[PATH_MAX] = "";
    char file[PATH_MAX];
    const char *next = path;

    while (next) {
        const char *at = next;
        size_t length = strcspn(at, ":");
        int failure;

        next = at[length] ? at + length + 1 : NULL;
        /* An empty entry is the working directory. */
        if (snprintf(file, sizeof file, "%.*s%s%s", (int)length, at,
                     length ? "/" : "", argv[0]) >= (int)sizeof file)
            continue;
        execve(file, argv, env);
        failure = errno;
        if (failure == EACCES) {
            if (!denied[0])
                memcpy(denied, file, sizeof denied);
        } else if ((failure != ENOENT && failure != ENOTDIR) ||
                   access(file, F_OK) == 0) {
            explain(file, failure, ret);
            return true;
        }
    }
    if (denied[0])
        explain(denied, EACCES, ret);
    return denied[0] != '\0';
}

void program_run(char *const argv[], char *const env[], const char *path,
                 struct agent_failure *ret)
{
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, env);
        explain(argv[0], errno, ret);
        return;
    }
    if (!try_path(argv, env, path, ret))
        refuse(ret, AGENT_NOT_FOUND, ENOENT, "%s: not found in PATH (%s)",
               argv[0], path);
}
