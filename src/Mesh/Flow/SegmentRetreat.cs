// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Gives up segments of devices: one that is lost, or whose memory somebody else needs. It takes no more objects, those
/// in it are dropped, pinned ones too, and once nobody reads there any more its memory is free. Thread-safe.
/// </summary>
internal sealed class SegmentRetreat(FlowContext context, ObjectStore store, DroppedQueue dropped,
    MembershipService membership)
{
    private const int Page = 1024;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private readonly ILogger _log = context.Runtime.Log.CreateLogger("mesh.segments");
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Ends what lets cards reach a segment, before its memory is free; null: none do.</summary>
    public Action<Segment>? Withdraw { get; set; }

    /// <summary>Watches for devices that are lost.</summary>
    public void Start()
    {
        foreach (var segment in store.Segments)
        {
            segment.Memory.OnLost = () => Begin(segment, segment.Memory.Failure!.Message);
            if (segment.Memory.Failure is { } before)
                Begin(segment, before.Message);
        }
    }

    public void Stop() => _stop.Cancel();

    /// <summary>Gives back the memory of devices; without effect on what was given back before.</summary>
    public void GiveBack(IReadOnlyList<string> locations)
    {
        foreach (var segment in store.Segments)
        {
            if (segment.Memory.Device is { } device && locations.Contains(device.Location))
                Begin(segment, "its memory is to be given back");
        }
    }

    private void Begin(Segment segment, string why)
    {
        if (!store.Retired.TryRetire(segment.Id))
            return;
        _log.LogWarning("segment_retired segment={Segment} location={Location} reason={Reason}", segment.Id,
            segment.Options.Location, why);
        _ = context.Runtime.Start(() => RunAsync(segment));
    }

    private async Task RunAsync(Segment segment)
    {
        var pause = FirstPause;
        try
        {
            // Beside it: with the registry away it comes when that is back.
            _ = membership.UpdateAsync(self => self with
            {
                Segments = [.. self.Segments.Where(known => known.Id != segment.Id)],
            }, _stop.Token);
            while (true)
            {
                // More than once: what was on its way when the segment was retired comes to be an object yet.
                await DropAsync(segment);
                if (store.Retired.IsEmpty(segment.Id))
                    break;
                await context.Runtime.Delay(pause, _stop.Token);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
        catch (OperationCanceledException)
        {
            // The node ends, and its memory with it.
            return;
        }

        // A lost device may never answer; what it has goes with the process.
        if (segment.Memory.Failure is not null)
            return;
        Withdraw?.Invoke(segment);
        segment.Memory.Dispose();
        _log.LogInformation("segment_given_back segment={Segment} location={Location} bytes={Bytes}", segment.Id,
            segment.Options.Location, segment.Length);
    }

    private async Task DropAsync(Segment segment)
    {
        var gone = new List<HeldObject>();
        for (ulong? from = 0; from is { } start; await Task.Yield())
        {
            gone.Clear();
            from = store.Retired.Drop(segment.Id, start, Page, gone);
            foreach (var held in gone)
                dropped.Add(held, held.ObjectId, "");
        }
    }
}
