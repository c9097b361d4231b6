"""What happens to a run, one file a step.

engine       puts the steps together, starts and stops them
timers       when the earliest tick is due, says "look" (aiocron)
scheduler    which ticks are due, and what becomes of each: runs and ledger lines, in one look at the store
agenda       the schedules as the scheduler knows them, in the order in which they are due
schedule_entry  one of these
elsewhere    which jobs other kernels know, so that ticks are left to them
clock_steps  by how much the wall clock was set
intake       1 accepts: is the job known, does the payload fit, are the options in bounds
gatherer     joins the enqueues of many callers into one write
recorder     2 and 8, writes what happens: to the store first, to the event bus second
endings      who waits for the end of which run
trouble      what of the flow the store refuses at the moment
claimer      4 claims what is due, most urgent first, a batch at a time
ready_queue  5 holds what is claimed and not begun
worker_pool  6 takes a free slot first, then pops
runner       7 one attempt
executors    the executors by name, and the attempts made by them
processes    the executor "process": workers of our own
worker_process  one of these: its start, its conversation, its end
remote       an attempt away from the kernel, and its ``ctx``
answer       how such an attempt ended, as text
event_bus    9 tells listeners, each by a bounded inbox of its own
catalog      the jobs and queues that the steps ask for
context      what a job's function gets as ``ctx``
breakers     the circuit breakers by name: which calls may begin, and what their ends make of it
breaker_calls  the calls of one attempt through them
calls        calls the functions that a job hands to ``ctx``
steps        what is done once a run, whatever number of attempts it takes
log_capture  keeps with the run what its job logs
page         what one attempt has told and the store does not have yet
notebook     gathers the pages, and writes them in batches
threads      the bounded pool for ``def`` jobs
own_loop     an attempt of an ``async def`` job in a thread, on a loop of its own
blocking     which jobs have blocked the kernel's loop so often that their attempts run like that
around       7 with what plugins have around it
watch        notices clock steps and what other processes changed
membership   what kernels that share a store do about one another: leases, rescue, one clock
pruner       deletes what is no longer kept
"""
