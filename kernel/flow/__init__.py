"""What happens to a run, one file a step.

engine       puts the steps together, starts and stops them
timers       when the earliest tick is due, says "look" (aiocron)
scheduler    which ticks are due, and what becomes of each: runs and ledger lines, in one look at the store
intake       1 accepts: is the job known, does the payload fit, are the options in bounds
recorder     2 and 8, writes what happens: to the store first, to the event bus second
claimer      4 claims what is due, most urgent first, a batch at a time
ready_queue  5 holds what is claimed and not begun
worker_pool  6 takes a free slot first, then pops
runner       7 one attempt
event_bus    9 tells listeners, each by a bounded inbox of its own
catalog      the jobs and queues that the steps ask for
context      what a job's function gets as ``ctx``
threads      the bounded pool for ``def`` jobs
watch        notices clock steps and what other processes changed
pruner       deletes what is no longer kept
"""
