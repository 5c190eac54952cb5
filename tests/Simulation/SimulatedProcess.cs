// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// One process of a simulated world: its own scheduler and clock, so that it alone can be stopped, resumed, or killed
/// between any two of its steps. A killed one never takes another step, not even to clean up.
/// </summary>
internal sealed class SimulatedProcess
{
    private readonly SimulatedWorld _world;
    private readonly List<Action> _held = [];
    private readonly ProcessScheduler _scheduler;
    private long _stoppedAt;
    private long _stoppedFor;

    public SimulatedProcess(SimulatedWorld world, string name, int machine)
    {
        _world = world;
        Name = name;
        Machine = machine;
        _scheduler = new ProcessScheduler(this);
        RunningSince = world.Clock.Now;
        Time = new ProcessTime(this);
        Network = new ProcessNetwork(world.Network, this);
    }

    /// <summary>What the event log calls it.</summary>
    public string Name { get; }

    /// <summary>Where it runs: links are between machines.</summary>
    public int Machine { get; }

    /// <summary>Where its steps run.</summary>
    public TaskScheduler Scheduler => _scheduler;

    /// <summary>Its clocks.</summary>
    public TimeProvider Time { get; }

    /// <summary>The network as this process sees it.</summary>
    public ProcessNetwork Network { get; }

    /// <summary>Stopped as by SIGSTOP.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Killed as by SIGKILL.</summary>
    public bool IsDead { get; private set; }

    /// <summary>How far its wall clock is from the world's.</summary>
    public TimeSpan WallClockError { get; set; }

    /// <summary>Since when it has been running without a stop, in ticks.</summary>
    public long RunningSince { get; private set; }

    /// <summary>Takes one step.</summary>
    public void Execute(Task step)
    {
        if (IsStopped)
            Hold(step);
        else if (!IsDead)
            _scheduler.Execute(step);
    }

    /// <summary>Runs a step, or keeps it for the end of the stop.</summary>
    public void Run(Action step)
    {
        if (IsDead)
            return;
        if (IsStopped)
            _held.Add(step);
        else
            step();
    }

    /// <summary>How long it has been stopped in all, in microseconds.</summary>
    public long StoppedFor => _stoppedFor
        + (IsStopped ? (_world.Clock.Now - _stoppedAt) / TimeSpan.TicksPerMicrosecond : 0);

    /// <summary>Stops it between two steps.</summary>
    public void Stop()
    {
        if (IsStopped || IsDead)
            return;
        IsStopped = true;
        _stoppedAt = _world.Clock.Now;
    }

    /// <summary>Lets it go on; what was due meanwhile comes at once.</summary>
    public void Resume()
    {
        if (!IsStopped || IsDead)
            return;
        IsStopped = false;
        RunningSince = _world.Clock.Now;
        _stoppedFor += (RunningSince - _stoppedAt) / TimeSpan.TicksPerMicrosecond;
        var held = _held.ToArray();
        _held.Clear();
        foreach (var step in held)
            Run(step);
    }

    public void Kill()
    {
        IsDead = true;
        _held.Clear();
    }

    private void Hold(Task step) => _held.Add(() => Execute(step));

    /// <summary>Starts work of this process.</summary>
    public Task Start(Func<Task> work) =>
        Task.Factory.StartNew(() => work().Unwrappable(), CancellationToken.None, TaskCreationOptions.DenyChildAttach,
            Scheduler).Unwrap();

    private sealed class ProcessScheduler(SimulatedProcess process) : TaskScheduler
    {
        public override int MaximumConcurrencyLevel => 1;

        public void Execute(Task task) => TryExecuteTask(task);

        protected override void QueueTask(Task task)
        {
            if (!process.IsDead)
                process._world.Ready(process, task);
        }

        // Never inline: the order of the queue is the order of execution.
        protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

        protected override IEnumerable<Task> GetScheduledTasks() => [];
    }

    private sealed class ProcessTime(SimulatedProcess process) : TimeProvider
    {
        private static readonly DateTimeOffset Start = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        // From 1 s on: a timestamp of 0 means "never" to some.
        public override long GetTimestamp() => process._world.Clock.Now + TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() =>
            Start + TimeSpan.FromTicks(process._world.Clock.Now) + process.WallClockError;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = new ProcessTimer(process, callback, state);
            timer.Change(dueTime, period);
            return timer;
        }
    }

    private sealed class ProcessTimer(SimulatedProcess process, TimerCallback callback, object? state)
        : SimulatedClock.Due, ITimer
    {
        private TimeSpan _period;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            _period = period;
            if (dueTime == Timeout.InfiniteTimeSpan)
                Cancel();
            else
                process._world.Clock.Set(this, dueTime);
            return true;
        }

        public override void Run()
        {
            if (_period > TimeSpan.Zero)
                process._world.Clock.Set(this, _period);
            if (process.IsStopped)
                process.Run(() => callback(state));
            else if (!process.IsDead)
                callback(state);
        }

        public void Dispose() => Cancel();

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
