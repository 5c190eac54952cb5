// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Support;

/// <summary>One thread, one manual clock and one seed: the runtime of tests that must repeat exactly.</summary>
public sealed class DeterministicWorld
{
    public DeterministicWorld(int seed = 1, IPeerNetwork? network = null, ILoggerFactory? log = null)
    {
        Runtime = new MeshRuntime
        {
            Time = Time,
            Scheduler = Scheduler,
            Random = RandomSource.FromSeed(seed),
            Network = network ?? new NoNetwork(),
            Log = log ?? NullLoggerFactory.Instance,
        };
    }

    public ManualTimeProvider Time { get; } = new();

    public SingleThreadScheduler Scheduler { get; } = new();

    public MeshRuntime Runtime { get; }

    /// <summary>Runs all that is ready, without advancing the clock.</summary>
    public void Pump() => Scheduler.Pump();

    /// <summary>Advances the clock, running all that becomes ready on the way.</summary>
    public void Advance(TimeSpan by)
    {
        Pump();
        Time.Advance(by, Pump);
        Pump();
    }

    /// <summary>Advances from timer to timer until <paramref name="condition"/> holds.</summary>
    /// <returns>Whether it held within <paramref name="limit"/>.</returns>
    public bool Until(Func<bool> condition, TimeSpan limit)
    {
        var end = Time.Elapsed + limit;
        Pump();
        while (!condition())
        {
            if (Time.NextDue is not { } next || next > end)
                return false;
            Time.Advance(next > Time.Elapsed ? next - Time.Elapsed : TimeSpan.Zero, Pump);
            Pump();
        }

        return true;
    }

    /// <summary>Runs <paramref name="work"/> on the scheduler to its end, advancing the clock as it needs.</summary>
    public T Run<T>(Func<Task<T>> work, TimeSpan? limit = null)
    {
        Task<T>? task = null;
        var started = Runtime.Start(() => task = work());
        Assert.True(Until(() => started.IsCompleted, limit ?? TimeSpan.FromMinutes(5)), "the work did not end in time");
        started.GetAwaiter().GetResult();
        return task!.GetAwaiter().GetResult();
    }

    /// <summary>The same for work without a result.</summary>
    public void Run(Func<Task> work, TimeSpan? limit = null) => Run(async () =>
    {
        await work();
        return true;
    }, limit);

    private sealed class NoNetwork : IPeerNetwork
    {
        public Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel) =>
            throw new PeerNetworkException($"{endpoint}: this test has no network");

        public IPeerListener Listen(string endpoint) =>
            throw new PeerNetworkException($"{endpoint}: this test has no network");
    }
}
