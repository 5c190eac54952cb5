// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>
/// Moves bytes of which at least one end is in memory of a device. Blocks its thread, so it is called by threads of
/// <see cref="DeviceQueues"/> or of a bulk lane, never under a lock.
/// </summary>
internal static unsafe class DeviceMoves
{
    /// <summary>
    /// The least that a device is given for a move. One that takes longer counts as lost, and a call with a short
    /// deadline is no reason for that.
    /// </summary>
    public static readonly TimeSpan LeastPatience = TimeSpan.FromSeconds(1);

    /// <summary>Bytes of a segment as an end of a move; no bytes are no device's.</summary>
    public static NativeRange RangeOf(in SegmentBytes bytes) => bytes.TryHost(out byte* host) || bytes.Length == 0
        ? new NativeRange((nint)host, bytes.Length)
        : new NativeRange(0, bytes.Length) { Device = bytes.OnDevice };

    /// <summary>Moves all of one range into another of the same length.</summary>
    /// <param name="from">Where the bytes are.</param>
    /// <param name="to">Where they go.</param>
    /// <param name="sums">Gets their sums; null: none are wanted.</param>
    /// <param name="sumAcross">
    /// Whether they are summed even where no processor sees them, by reading them once more; else the sums say that
    /// there are none.
    /// </param>
    /// <param name="timeout">What is left for it.</param>
    /// <param name="stop">Ends it, or null.</param>
    /// <returns>Done; Late or Unreachable when stopped; DeviceFailed, with the reason at the device's end.</returns>
    public static TransferOutcome Run(in NativeRange from, in NativeRange to, SliceSums? sums, bool sumAcross,
        TimeSpan timeout, IMoveStop? stop)
    {
        if (from.Length == 0)
        {
            RunningSums.Empty(sums);
            return TransferOutcome.Done;
        }

        if (from.Device is { } source && to.Device is { } target)
            return Across(source, target, sums, sumAcross, timeout, stop);
        if (from.Device is { } device)
            return Read(device, new HostSink((byte*)to.Address, sums, stop), timeout, stop);
        return to.Device is { } filled
            ? Write(filled, new HostSource((byte*)from.Address, sums, stop), timeout, stop)
            : Copied(from, to, sums);
    }

    /// <summary>Sums bytes that are all there, wherever they are.</summary>
    public static TransferOutcome Sum(in NativeRange of, SliceSums sums, TimeSpan timeout, IMoveStop? stop)
    {
        if (of.Length == 0)
            RunningSums.Empty(sums);
        else if (of.Device is { } device)
            return Read(device, new HostSink(null, sums, stop), timeout, stop);
        else
            sums.Take((byte*)of.Address);
        return TransferOutcome.Done;
    }

    /// <summary>Does a move of which both ends are the host's: at once.</summary>
    public static TransferOutcome RunHost(in DeviceMove move) => move.To.Length == 0 && move.From.Length > 0
        ? Sum(move.From, move.Sums!, TimeSpan.Zero, null)
        : Run(move.From, move.To, move.Sums, move.SumAcross, TimeSpan.Zero, null);

    /// <summary>Reads a device's memory.</summary>
    public static TransferOutcome Read(DeviceBuffer from, IChunkSink sink, TimeSpan timeout, IMoveStop? stop) =>
        Of(from.Memory.Read(from.Ranges, sink, from.Order, Patience(timeout)), from, stop);

    /// <summary>Writes a device's memory.</summary>
    public static TransferOutcome Write(DeviceBuffer to, IChunkSource source, TimeSpan timeout, IMoveStop? stop) =>
        Of(to.Memory.Write(to.Ranges, source, to.Order, Patience(timeout)), to, stop);

    private static TransferOutcome Across(DeviceBuffer from, DeviceBuffer to, SliceSums? sums, bool sumAcross,
        TimeSpan timeout, IMoveStop? stop)
    {
        if (sums is not null)
        {
            sums.AreMissing = !sumAcross;
            if (sumAcross && Read(from, new HostSink(null, sums, stop), timeout, stop) is var summed
                && summed != TransferOutcome.Done)
                return summed;
        }

        // Both are lists; each copy goes as far as the range that ends first.
        int source = 0, target = 0;
        long read = 0, written = 0;
        while (source < from.Ranges.Length && target < to.Ranges.Length)
        {
            if (stop is { IsStopped: true })
                return TransferOutcome.Late;
            var range = from.Ranges[source];
            long length = Math.Min(range.Length - read, to.Ranges[target].Length - written);
            var outcome = Of(from.Memory.Copy(new DeviceRange(range.Address + (nint)read, length),
                to.Ranges[target].Address + (nint)written, from.Order.Stream != 0 ? from.Order : to.Order,
                Patience(timeout)), from, stop, to);
            if (outcome != TransferOutcome.Done)
                return outcome;
            read += length;
            written += length;
            if (read == range.Length)
                (source, read) = (source + 1, 0);
            if (written == to.Ranges[target].Length)
                (target, written) = (target + 1, 0);
        }

        return TransferOutcome.Done;
    }

    private static TransferOutcome Copied(in NativeRange from, in NativeRange to, SliceSums? sums)
    {
        SummedCopy.Run((byte*)from.Address, (byte*)to.Address, from.Length, sums);
        return TransferOutcome.Done;
    }

    private static TimeSpan Patience(TimeSpan timeout) => timeout > LeastPatience ? timeout : LeastPatience;

    private static TransferOutcome Of(in DeviceOutcome outcome, DeviceBuffer device, IMoveStop? stop,
        DeviceBuffer? other = null)
    {
        if (outcome.End == DeviceEnd.Done)
            return TransferOutcome.Done;
        if (outcome.End == DeviceEnd.Stopped)
            return stop is { IsStopped: true } ? TransferOutcome.Late : TransferOutcome.Unreachable;
        var error = outcome.Error ?? new MeshError(MeshErrorCode.Device, "device",
            $"{device.Location} {(outcome.End == DeviceEnd.Late ? "took too long" : "failed")}");
        device.Failed(error);
        other?.Failed(error);
        return TransferOutcome.DeviceFailed;
    }
}
