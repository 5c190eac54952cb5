// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>What callers met while they asked for one key all the time.</summary>
/// <param name="Gap">Longest time from one right answer to the next, in milliseconds.</param>
/// <param name="Failed">Calls that ended with an error, or with another answer than the value.</param>
internal readonly record struct WatchedKey(double Gap, int Failed);

/// <summary>
/// One caller for each key, which gets it again and again, from the start until the end. Each answer is compared with
/// what was put.
/// </summary>
internal sealed class AnswerWatch
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(1);
    private readonly MeshClient _client;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task<WatchedKey>[] _callers;
    private readonly CountdownEvent _answered;

    private AnswerWatch(MeshClient client, IReadOnlyList<(MeshKey Key, byte[] Value)> objects)
    {
        _client = client;
        _answered = new CountdownEvent(objects.Count);
        _callers = [.. objects.Select(o => Task.Run(() => AskAsync(o.Key, o.Value)))];
    }

    /// <summary>Starts to ask, and waits until each key has been answered often enough to be warm.</summary>
    internal static async Task<AnswerWatch> StartAsync(MeshClient client,
        IReadOnlyList<(MeshKey Key, byte[] Value)> objects, CancellationToken cancel)
    {
        var watch = new AnswerWatch(client, objects);
        await Task.Run(() => watch._answered.Wait(cancel), cancel);
        return watch;
    }

    /// <summary>Ends; what was met, key by key.</summary>
    internal async Task<WatchedKey[]> EndAsync()
    {
        await _stop.CancelAsync();
        WatchedKey[] met = await Task.WhenAll(_callers);
        _stop.Dispose();
        _answered.Dispose();
        return met;
    }

    private async Task<WatchedKey> AskAsync(MeshKey key, byte[] value)
    {
        const int Warm = 50;
        int failed = 0, answers = 0;
        long last = 0, gap = 0;
        while (!_stop.IsCancellationRequested)
        {
            MeshResult<byte[]> got = await _client.TryGetAsync(key);
            long now = Stopwatch.GetTimestamp();
            if (got.Succeeded && got.Value.AsSpan().SequenceEqual(value))
            {
                if (answers++ >= Warm)
                    gap = Math.Max(gap, now - last);
                last = now;
                if (answers == Warm)
                    _answered.Signal();
            }
            else if (answers >= Warm)
            {
                failed++;
            }

            // A caller without a pace would take the processors from the nodes.
            await Task.Delay(Pace);
        }

        // A key that is not answered at the end has not been for that long.
        gap = Math.Max(gap, Stopwatch.GetTimestamp() - last);
        return new WatchedKey(gap * 1e3 / Stopwatch.Frequency, failed);
    }
}
