/* resume.c: programs go on with another session; see job.h.
 *
 * How it works
 *   A CLONE names the programs that its session takes over. Each begins with
 *   new windows, as after an EXEC; what the old session sent to its stdin and
 *   it has not taken is still on its way. How it stands is told right behind
 *   CLONE_DONE: EXEC_STARTED, how much stdin takes, and which streams have
 *   ended.
 */
#include "job.h"
#include "link.h"

int jobs_find_resumed(struct link *link, const struct agent_clone *clone,
                      struct sm_error *err)
{
    for (uint32_t i = 0; i < clone->program_count; i++) {
        const struct agent_resume *resume = &clone->programs[i];
        struct job *job = job_by_channel(link, resume->old_channel);

        if (!job || job->resume)
            return fail(err, SM_EPROTO,
                        "CLONE: no program, or one twice, on channel %u",
                        resume->old_channel);
        job->resume = resume;
    }
    return 0;
}

void jobs_resume(struct link *link)
{
    struct job *jobs = NULL;

    for (unsigned i = 0; i < JOB_BUCKETS; i++)
        while (link->jobs[i]) {
            struct job *job = link->jobs[i];

            if (!job->resume) {
                job_orphan(job);
                continue;
            }
            link->jobs[i] = job->next_of_link;
            job->next_of_link = jobs;
            jobs = job;
        }
    while (jobs) {
        struct job *job = jobs;
        struct job **bucket = &link->jobs[job->resume->channel % JOB_BUCKETS];

        jobs = job->next_of_link;
        job->next_of_link = *bucket;
        *bucket = job;
        job->channel = job->resume->channel;
    }
}

static void resume_output(const struct job *job, struct outlet *outlet,
                          uint32_t window)
{
    outlet_resume(outlet, window);
    if (outlet->fd < 0 && window > 0)
        frame_put(link_buf(job->link),
                  &(struct frame){.type = outlet->stream == AGENT_OUT
                                              ? AGENT_STDOUT
                                              : AGENT_STDERR,
                                  .flags = AGENT_END,
                                  .channel = job->channel});
}

static void resume_input(struct job *job, bool wanted)
{
    struct inlet *in = &job->in;

    if (!wanted) {
        inlet_end(in);
        return;
    }
    inlet_resume(in);
    if (in->fd < 0 || in->ending)
        agent_put_close(link_buf(job->link), job->channel, AGENT_IN);
    else if (in->allowed > 0)
        agent_put_window(link_buf(job->link), job->channel, AGENT_IN,
                         in->allowed);
}

void jobs_announce(struct link *link, const struct agent_clone *clone)
{
    for (uint32_t i = 0; i < clone->program_count; i++) {
        const struct agent_resume *resume = &clone->programs[i];
        struct job *job = job_by_channel(link, resume->channel);

        /* One that is about to start says so itself. */
        if (job->state != JOB_STARTING)
            agent_put_exec_started(link_buf(link), job->channel,
                                   (uint32_t)job->pid);
        resume_output(job, &job->out, resume->out_window);
        resume_output(job, &job->err, resume->err_window);
        resume_input(job, resume->flags & AGENT_EXEC_STDIN);
        job->resume = NULL;
    }
}
