// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>Lets one loop sleep until a time or until somebody wakes it. Thread-safe for wakers; one sleeper.</summary>
internal sealed class WakeSignal(TimeProvider time)
{
    private readonly Lock _gate = new();
    private TaskCompletionSource? _sleeper;
    private bool _set;

    /// <summary>Change what the loop looks at first, then call this: it looks again.</summary>
    public void Set()
    {
        TaskCompletionSource? sleeper;
        lock (_gate)
        {
            _set = true;
            sleeper = _sleeper;
        }

        sleeper?.TrySetResult();
    }

    public async Task WaitAsync(TimeSpan atMost, CancellationToken cancel)
    {
        TaskCompletionSource sleeper;
        lock (_gate)
        {
            if (_set)
            {
                _set = false;
                return;
            }

            sleeper = _sleeper = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        try
        {
            using var timer = time.CreateTimer(static state => ((TaskCompletionSource)state!).TrySetResult(), sleeper,
                atMost < TimeSpan.Zero ? TimeSpan.Zero : atMost, Timeout.InfiniteTimeSpan);
            await sleeper.CancellableAsync(cancel);
        }
        finally
        {
            lock (_gate)
            {
                _set = false;
                _sleeper = null;
            }
        }
    }
}

/// <summary>
/// Doubling waits from 200 ms to 2 s, each shortened by up to half at random so that nodes spread out.
/// </summary>
internal sealed class RegistryBackoff(RandomSource random)
{
    private const int FromMilliseconds = 200;
    private const int ToMilliseconds = 2000;
    private int _next = FromMilliseconds;

    public TimeSpan Next()
    {
        int wait = _next;
        _next = Math.Min(ToMilliseconds, _next * 2);
        return TimeSpan.FromMilliseconds(wait - random.Next((wait / 2) + 1));
    }

    public void Reset() => _next = FromMilliseconds;
}

/// <summary>Waits that stay on the scheduler of the waiter.</summary>
internal static class SchedulerWaits
{
    /// <summary>
    /// Awaits a source that has one waiter. Task.WaitAsync and Task.WhenAny on a source that runs its continuations
    /// asynchronously pass through the thread pool, where a simulation loses their order; a plain await does not.
    /// </summary>
    public static async Task CancellableAsync(this TaskCompletionSource source, CancellationToken cancel)
    {
        using var registration = cancel.UnsafeRegister(
            static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), source);
        await source.Task;
    }
}

/// <summary>Bounds calls to the registry, whatever registry it is.</summary>
internal static class RegistryCalls
{
    /// <summary>
    /// The call's answer, or <see cref="RegistryFailure.Unavailable"/> after <paramref name="limit"/>.
    /// </summary>
    public static async Task<T> BoundedAsync<T>(
        this MeshRuntime runtime, TimeSpan limit, CancellationToken stop, Func<CancellationToken, Task<T>> call)
    {
        using var deadline = new CancellationTokenSource(limit, runtime.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(stop, deadline.Token);
        try
        {
            var calling = call(linked.Token);
            await calling.OrCancelAsync(linked.Token);
            return await calling;
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new RegistryException(RegistryFailure.Unavailable, $"no answer in {limit}");
        }
    }
}
