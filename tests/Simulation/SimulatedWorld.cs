// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Processes, a network and an etcd on one simulated clock, from one seed, on one thread. Everything that happens on
/// the network, in etcd and to the processes goes into the event log, or into its digest.
/// </summary>
internal sealed class SimulatedWorld
{
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private volatile string? _stray;
    private const int MaxStepsAtOnce = 1_000_000;
    private readonly Queue<(SimulatedProcess Process, Task Step)> _ready = new();
    private readonly XxHash3 _digest = new();
    private readonly List<string>? _log;

    /// <param name="seed">What everything random comes from.</param>
    /// <param name="keepLog">Whether the log is kept, not only its digest.</param>
    public SimulatedWorld(int seed, bool keepLog)
    {
        _log = keepLog ? [] : null;
        Network = new SimulatedNetwork(this, RandomSource.FromSeed(seed));
        Random = RandomSource.FromSeed(seed ^ 0x5EED);
        var etcd = new SimulatedProcess(this, "etcd", -1);
        Etcd = new EmbeddedRegistryStore(etcd.Time, RandomSource.FromSeed(seed ^ 0xE7CD));
    }

    public SimulatedClock Clock { get; } = new();

    public SimulatedNetwork Network { get; }

    public EmbeddedRegistryStore Etcd { get; }

    /// <summary>For what the world decides; each process has a source of its own.</summary>
    public RandomSource Random { get; }

    /// <summary>The event log, if it is kept.</summary>
    public IReadOnlyList<string> Events => _log ?? [];

    /// <summary>Names every event of the log, in order.</summary>
    public ulong Digest => _digest.GetCurrentHashAsUInt64();

    /// <summary>What a process may log to; nothing is kept when the event log is not.</summary>
    public ILoggerFactory LogOf(string process) =>
        _log is null ? NullLoggerFactory.Instance : new SimulatedLog(this, process);

    /// <summary>Adds a line to the event log that is no event: the digest is without it.</summary>
    public void Tell(string text) =>
        _log?.Add(string.Create(CultureInfo.InvariantCulture, $"{Clock.Microseconds} {text}"));

    /// <summary>Notes an event.</summary>
    public void Log(string text)
    {
        _log?.Add(string.Create(CultureInfo.InvariantCulture, $"{Clock.Microseconds} {text}"));
        Note(MemoryMarshal.AsBytes(text.AsSpan()));
    }

    /// <summary>Notes that bytes were sent.</summary>
    public void LogBytes(string name, ReadOnlySpan<byte> bytes)
    {
        ulong hash = XxHash3.HashToUInt64(bytes);
        _log?.Add(string.Create(CultureInfo.InvariantCulture,
            $"{Clock.Microseconds} send {name} {bytes.Length} {hash:x16}"));
        Note(MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(ref hash, 1)));
    }

    /// <summary>A process has a step to take.</summary>
    public void Ready(SimulatedProcess process, Task step)
    {
        if (Environment.CurrentManagedThreadId != _thread)
        {
            string where = $"a step of {process.Name} was made ready on another thread:\n{Environment.StackTrace}";
            _stray ??= where;
            return;
        }

        _ready.Enqueue((process, step));
    }

    /// <summary>Lets time pass until <paramref name="done"/>.</summary>
    /// <returns>Whether it was so within <paramref name="limit"/>.</returns>
    public bool Until(Func<bool> done, TimeSpan limit)
    {
        long end = Clock.Now + limit.Ticks;
        // A test framework's context would take the continuations to other threads.
        var context = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null);
        try
        {
            int steps = 0;
            for (long now = Clock.Now; ; steps = Clock.Now == now ? steps + 1 : 0, now = Clock.Now)
            {
                Pump();
                if (done())
                    return true;
                if (!Clock.Step(end))
                    return done();
                if (steps > MaxStepsAtOnce)
                    throw new InvalidOperationException($"still work after {steps} timers at {now}: time stands still");
            }
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(context);
        }
    }

    /// <summary>Lets time pass.</summary>
    public void Pass(TimeSpan time) => Until(static () => false, time);

    private void Pump()
    {
        if (_stray is { } stray)
            throw new InvalidOperationException(stray);
        for (int step = 0; step < MaxStepsAtOnce; step++)
        {
            if (!_ready.TryDequeue(out var next))
                return;
            next.Process.Execute(next.Step);
        }

        throw new InvalidOperationException($"still work after {MaxStepsAtOnce} steps: a loop without a wait");
    }

    private void Note(ReadOnlySpan<byte> bytes)
    {
        long now = Clock.Now;
        _digest.Append(MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(ref now, 1)));
        _digest.Append(bytes);
    }
}
