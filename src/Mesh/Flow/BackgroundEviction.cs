// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Keeps a little memory free, so that a put seldom has to wait for an eviction of its own. Paced: a few megabytes,
/// then a pause; each object is proposed at most once a round. Without a watermark it waits until no other node has
/// room either: until then puts go there, and evicting here would lose what need not be lost.
/// </summary>
internal sealed class BackgroundEviction(FlowContext context, ObjectStore store, EvictionFlow eviction, PeerRoom room,
    EvictionLimits limits)
{
    private const long BatchBytes = 4L << 20;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);
    // A node at rest wakes for little: a store that nobody writes to is looked at less and less often.
    private static readonly TimeSpan LongestInterval = TimeSpan.FromMilliseconds(400);
    private readonly CancellationTokenSource _stop = new();
    private volatile EvictionLimits _limits = limits;

    /// <summary>What the next round goes by.</summary>
    public EvictionLimits Limits
    {
        set => _limits = value;
    }

    public void Start() => _ = context.Runtime.Start(LoopAsync);

    public void Stop() => _stop.Cancel();

    /// <summary>One round: frees what is lacking, or gives up when every object has been proposed.</summary>
    public async Task RoundAsync()
    {
        var usage = store.Usage;
        var limits = _limits;
        long lack = limits.Lack(usage);
        if (lack == 0 || (limits.HighWatermark is null && room.Any()))
            return;
        long target = usage.Free + lack;
        long proposals = usage.Objects;
        var victims = new List<HeldObject>();
        while (usage.Free < target && proposals > 0 && !_stop.IsCancellationRequested)
        {
            victims.Clear();
            store.ProposeVictims(Math.Min(target - usage.Free, BatchBytes), victims);
            if (victims.Count == 0)
                return;
            proposals -= victims.Count;
            await eviction.EvictAsync(victims, _stop.Token);
            await context.Runtime.Delay(Pace, _stop.Token);
            usage = store.Usage;
        }
    }

    private static TimeSpan Longer(TimeSpan interval) =>
        interval < LongestInterval / 2 ? 2 * interval : LongestInterval;

    private async Task LoopAsync()
    {
        var interval = Interval;
        long seen = store.Usage.Free;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await RoundAsync();
                long free = store.Usage.Free;
                interval = free == seen ? Longer(interval) : Interval;
                seen = free;
                await context.Runtime.Delay(interval, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }
}

/// <summary>When memory is freed in the background, and how much at a time.</summary>
/// <param name="HighWatermark">Share in use above which it begins, 0 to 1; null: see <see cref="Lack"/>.</param>
/// <param name="Ratio">Least share freed in a round, 0 to 1; null: what is lacking, or 5 % with a watermark.</param>
internal sealed record EvictionLimits(double? HighWatermark, double? Ratio)
{
    private const long MostReserve = 1L << 30;
    private const double WatermarkRatio = 0.05;

    /// <summary>
    /// Bytes that a round should free. Without a watermark the smaller of 1 % and 1 GiB is kept free: Mooncake's 10 %
    /// in batches of 5 % cost 1.4 to 3 points of hit ratio on its public traces.
    /// </summary>
    public long Lack(in StoreUsage usage)
    {
        long reserve = HighWatermark is { } watermark
            ? usage.Capacity - (long)(usage.Capacity * watermark)
            : Math.Min(usage.Capacity / 100, MostReserve);
        if (usage.Free >= reserve)
            return 0;
        double ratio = Ratio ?? (HighWatermark is null ? 0 : WatermarkRatio);
        return Math.Max(reserve - usage.Free, (long)(usage.Capacity * ratio));
    }
}
