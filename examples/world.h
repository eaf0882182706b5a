/* world.h -- what kubelet.c stands between: an API server, here a folder, and a container runtime, here processes.
 *
 *   pods/UID         a Pod in JSON. It is deleted as on an API server: metadata.deletionTimestamp asks for it, and when all
 *                    of it has ended the kubelet takes the object away
 *   status/UID, node what an API server would be told
 *   run/ID           a container: pid of its first process, its exit code; locked as long as a process of it lives
 *   log/ID           what it prints
 *
 * What a kubelet needs of any runtime:
 * (1) A container outlives the kubelet, and is found again by its id, with its state and its exit code.
 * (2) "Terminated" means that nothing of it runs any more: then, and not before, its devices may be another's. */
#ifndef WORLD_H
#define WORLD_H
#include <devmgr.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum container_state { WAITING, RUNNING, TERMINATED }; /* Kubernetes's words; WAITING: not started yet */

static inline const char *world_path(const char *folder, const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline void world_enter(const char *root) {
    if (chdir(root) < 0) {
        perror(root);
        exit(1);
    }
    mkdir("pods", 0755), mkdir("status", 0755), mkdir("run", 0755), mkdir("log", 0755);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

/* ---- the API server -------------------------------------------------------------------------------------------------- */

/* Every pod there is; -1: the list is not complete. One whose file cannot be read right now is NULL; so rename a file
 * into place, under a name with a dot in front it is no pod. A pod never changes but for its deletionTimestamp. */
static inline int api_list(void (*visit)(const char *uid, json_t *pod, const char *text)) {
    DIR *dir = opendir("pods");
    struct dirent *entry;
    errno = dir ? 0 : errno;
    while (dir && (entry = readdir(dir))) {
        if (*entry->d_name == '.')
            continue;
        json_t *pod = json_load_file(world_path("pods", entry->d_name), 0, NULL);
        json_object_set_new(json_object_get(pod, "metadata"), "uid", json_string(entry->d_name));
        char *text = pod ? json_dumps(pod, 0) : NULL;
        visit(entry->d_name, pod, text);
        free(text);
        json_decref(pod);
        errno = 0;
    }
    int rc = errno ? -1 : 0;
    if (dir)
        closedir(dir);
    return rc;
}

/* Tells `value`, which it takes over, when it is not what was told last. */
static inline void api_put(const char *path, json_t *value, json_t **last) {
    if (!json_equal(value, *last) &&
        (json_dump_file(value, ".new", JSON_INDENT(2) | JSON_SORT_KEYS) < 0 || rename(".new", path) < 0))
        perror(path);
    json_decref(*last);
    *last = value;
}

/* What is told of the pod, when that says Failed: such a pod is never anything else again. NULL: it does not. */
static inline json_t *api_failed(const char *uid) {
    json_t *status = json_load_file(world_path("status", uid), 0, NULL);
    const char *phase = json_string_value(json_object_get(status, "phase"));
    if (phase && !strcmp(phase, "Failed"))
        return status;
    json_decref(status);
    return NULL;
}

/* A row of containerStatuses, and into its allocatedResourcesStatus one device: grouped by resource. */
static inline json_t *api_container_status(const char *name, enum container_state state, int restarts) {
    static const char *const words[] = {"waiting", "running", "terminated"};
    return json_pack("{s:s,s:{s:{}},s:i,s:[]}", "name", name, "state", words[state], "restartCount", restarts,
                     "allocatedResourcesStatus");
}

static inline void api_add_device(json_t *row, const char *resource, const char *id, const char *health) {
    json_t *list = json_object_get(row, "allocatedResourcesStatus");
    json_t *last = json_array_get(list, json_array_size(list) - 1);
    if (!last || strcmp(resource, json_string_value(json_object_get(last, "name"))))
        json_array_append_new(list, last = json_pack("{s:s,s:[]}", "name", resource, "resources"));
    json_array_append_new(json_object_get(last, "resources"),
                          json_pack("{s:s,s:s}", "resourceID", id, "health", health));
}

static inline void api_remove(const char *uid) {
    unlink(world_path("status", uid));
    unlink(world_path("pods", uid));
}

/* ---- the runtime ----------------------------------------------------------------------------------------------------- */

static inline int container_file(const char *folder, const char *id, int flags) {
    return open(world_path(folder, id), flags | O_CREAT | O_CLOEXEC, 0600);
}

/* The lock is asked first: when nobody has it, what the file says is final. */
static inline enum container_state container_read(const char *id, int *pid, int *exit_code) {
    char text[64] = "";
    int file = container_file("run", id, O_RDWR);
    int locked = flock(file, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (read(file, text, sizeof text - 1) < 0 || sscanf(text, "%d %d", pid, exit_code) < 2)
        *exit_code = 137; /* killed, and nobody was left to say so: what Kubernetes shows then */
    close(file);
    return locked ? RUNNING : *text ? TERMINATED : WAITING;
}

static inline enum container_state container_look(const char *id, int *exit_code) {
    int pid;
    return container_read(id, &pid, exit_code);
}

static inline void container_kill(const char *id) {
    int pid = 0, exit_code;
    if (container_read(id, &pid, &exit_code) == RUNNING && pid > 1)
        kill(-pid, SIGKILL); /* all of it; yours asks with SIGTERM before */
}

static inline void container_remove(const char *id) {
    unlink(world_path("run", id));
    unlink(world_path("log", id));
}

/* What runs and is no pod's: its pod was taken away while no kubelet looked. Returns when all of it has ended. */
static inline void container_end_orphans(void) {
    DIR *dir = opendir("run");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char uid[NAME_MAX + 1];
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || dot == entry->d_name)
            continue;
        snprintf(uid, sizeof uid, "%.*s", (int)(dot - entry->d_name), entry->d_name);
        if (access(world_path("pods", uid), F_OK) == 0)
            continue;
        for (int code; container_look(entry->d_name, &code) == RUNNING; usleep(10000))
            container_kill(entry->d_name);
        container_remove(entry->d_name);
    }
    if (dir)
        closedir(dir);
}

static inline void container_shell_ended(uv_process_t *process, int64_t code, int signal) {
    (void)code, (void)signal; /* in the file: after a restart of the kubelet nobody would be called */
    uv_close((uv_handle_t *)process, (uv_close_cb)free);
}

/* A runtime makes use of all the options; a process can have the environment. The shell writes pid and exit code. */
static inline int container_start(uv_loop_t *loop, const char *id, const json_t *command,
                                  const devmgr_options *options) {
    static const char shell[] = "echo $$ >&3; \"$0\" \"$@\"; echo $? >&3";
    json_t *words = json_pack("[s,s,s,s]", "sh", "-c", shell, "env"), *word;
    size_t i;
    for (i = 0; i < options->n_envs; i++)
        json_array_append_new(words, json_sprintf("%s=%s", options->envs[i]->name, options->envs[i]->value));
    json_array_foreach(command, i, word) json_array_append(words, word);
    char **argv = calloc(json_array_size(words) + 1, sizeof *argv);
    json_array_foreach(words, i, word) argv[i] = (char *)json_string_value(word);

    int file = container_file("run", id, O_RDWR), log = container_file("log", id, O_WRONLY | O_APPEND);
    uv_stdio_container_t stdio[] = {{UV_IGNORE, {0}},
                                    {UV_INHERIT_FD, {.fd = log}},
                                    {UV_INHERIT_FD, {.fd = log}},
                                    {UV_INHERIT_FD, {.fd = file}}};
    uv_process_options_t how = {.file = "/bin/sh", .args = argv, .stdio = stdio, .stdio_count = 4};
    how.flags = UV_PROCESS_DETACHED;
    how.exit_cb = container_shell_ended;
    int rc = flock(file, LOCK_EX | LOCK_NB) < 0 || ftruncate(file, 0) < 0 ? -errno : 0;
    if (rc == 0) {
        uv_process_t *process = malloc(sizeof *process);
        rc = uv_spawn(loop, process, &how);
        uv_unref((uv_handle_t *)process); /* it lives on when our loop ends */
        if (rc < 0)
            uv_close((uv_handle_t *)process, (uv_close_cb)free);
    }
    close(file), close(log);
    free(argv);
    json_decref(words);
    return rc;
}
#endif
