// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Globalization;
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// One copy on a lane, from when it has the lane to when nothing of it is on its way any more: or, where that does not
/// come about in time, to when its device is lost. Used by one thread, which has entered the device's context.
/// </summary>
internal sealed unsafe class CopyRun : IDisposable
{
    /// <summary>The least that a device is given from when a copy has begun, unless the limit is shorter.</summary>
    private static readonly TimeSpan LeastPatience = TimeSpan.FromSeconds(1);

    private readonly CudaDevice _device;
    private readonly CudaDevice? _other;
    private readonly CopyLane _lane;
    private DevicePatience _patience;

    private CopyRun(CudaDevice device, CudaDevice? other, CopyLane lane, DevicePatience patience)
    {
        _device = device;
        _other = other;
        _lane = lane;
        _patience = patience;
    }

    /// <summary>The lane's stream.</summary>
    internal nint Stream => _lane.Stream;

    private CudaLibrary Library => _device.Library;

    /// <summary>Takes a lane.</summary>
    /// <param name="device">The device that copies.</param>
    /// <param name="other">Another that takes part; or null.</param>
    /// <param name="timeout">Longest time that the device may take.</param>
    /// <param name="late">What to say when null is returned: no lane has become free, or there is no device.</param>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static CopyRun? Start(CudaDevice device, CudaDevice? other, TimeSpan timeout, out DeviceOutcome late)
    {
        late = default;
        DevicePatience patience = device.Lanes.Patience(timeout);
        device.Copier.Hold();
        CopyLane? lane = null;
        try
        {
            // A copy that has no time is not begun: what is begun and does not end costs the device.
            if (!patience.IsOver)
                lane = device.Lanes.Rent(ref patience);
        }
        finally
        {
            if (lane is null)
                device.Copier.LetGo();
        }

        if (lane is not null)
            return new CopyRun(device, other, lane, patience);
        late = Lost(device) ?? Late($"{device.Location}: {LanePool.Most} copies are under way, and none of them has "
            + $"ended within {Text(timeout)}; nothing was copied");
        return null;
    }

    /// <summary>
    /// Waits for the work that is on the caller's stream. The wait is made here and not by our stream: a caller's work
    /// that takes long then holds up nothing that has begun, and costs no device.
    /// </summary>
    /// <returns>Null, or how it ended.</returns>
    /// <exception cref="CudaException">The driver refuses, or the caller's work has failed.</exception>
    internal DeviceOutcome? ComeAfter(DeviceOrder order)
    {
        if (order.Stream == 0)
            return null;
        int result = Library.cuEventRecord(_lane.OrderEvent, order.Stream);
        CudaException.ThrowIfFailed(Library, result, nameof(Library.cuEventRecord));
        switch (_patience.ForEvent(Library, _lane.OrderEvent, out result))
        {
            case WaitEnd.Done:
                return Lost(_device);
            case WaitEnd.Late:
                return Late($"{_device.Location}: the work before it on the caller's stream has not ended within "
                    + $"{Text(_patience.Limit)}; nothing was copied");
            default:
                throw CudaException.Of(Library, result, nameof(Library.cuEventQuery));
        }
    }

    /// <summary>
    /// Says that something is now going to be put on the stream. What was spent on a lane and on the caller's stream is
    /// no reason to lose the device: it has a while from now on.
    /// </summary>
    internal void Begin()
    {
        if (!_lane.IsBusy)
            _patience.LeaveAtLeast(LeastPatience);
        _lane.IsBusy = true;
    }

    /// <summary>Buffer of a slot, as far as a chunk fills it.</summary>
    internal Span<byte> Buffer(int slot, Chunk chunk) => new(_lane.Buffer(slot), chunk.Bytes);

    /// <summary>The next chunk of ranges, for a slot.</summary>
    internal Chunk Next(ref PieceCursor cursor, int slot, bool isRead, bool isExact) => cursor.Next(
        _lane.Table(slot), _lane.Buffer(slot), isRead, _device.Copier.MostPieces(isExact));

    /// <summary>Puts the copy of a slot's chunk on the stream, and a mark behind it.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal void Put(int slot, Chunk chunk, bool isRead, bool isExact)
    {
        Begin();
        _device.Copier.Put(_lane.Table(slot), chunk.Pieces, isRead, isExact, _lane.Stream);
        Mark(slot);
    }

    /// <summary>Puts the mark of a slot behind what is on the stream.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal void Mark(int slot) => CudaException.ThrowIfFailed(Library,
        Library.cuEventRecord(_lane.Event(slot), _lane.Stream), nameof(Library.cuEventRecord));

    /// <summary>Has the caller's stream wait for the mark of a slot.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal void LetGoOnAfter(int slot, DeviceOrder order)
    {
        if (order.Stream == 0)
            return;
        CudaException.ThrowIfFailed(Library,
            Library.cuStreamWaitEvent(order.Stream, _lane.Event(slot), 0), nameof(Library.cuStreamWaitEvent));
    }

    /// <summary>Waits for the mark of a slot.</summary>
    /// <returns>Null when it has come; else how it ended, the device being lost: to this copy or to another.</returns>
    /// <exception cref="CudaException">The work before it has failed.</exception>
    internal DeviceOutcome? Wait(int slot) => _patience.ForEvent(Library, _lane.Event(slot), out int result) switch
    {
        WaitEnd.Done => Lost(_device),
        WaitEnd.Late => Lose(),
        _ => throw CudaException.Of(Library, result, nameof(Library.cuEventQuery)),
    };

    /// <summary>All that was put on the stream has been waited for.</summary>
    internal DeviceOutcome Done()
    {
        _lane.IsBusy = false;
        return new DeviceOutcome(DeviceEnd.Done);
    }

    /// <summary>Ends the copy before its end.</summary>
    internal DeviceOutcome Stop() => Settle() ?? new DeviceOutcome(DeviceEnd.Stopped);

    /// <summary>Waits for what is on its way, and gives the lane back.</summary>
    public void Dispose()
    {
        Settle();
        _device.Lanes.Return(_lane);
        _device.Copier.LetGo();
    }

    private DeviceOutcome? Settle()
    {
        if (!_lane.IsBusy || _device.Loss.Error is not null)
            return null;
        switch (_patience.ForStream(Library, _lane.Stream, out int result))
        {
            case WaitEnd.Done:
                _lane.IsBusy = false;
                return null;
            case WaitEnd.Late:
                return Lose();
            default:
                var error = new MeshError(MeshErrorCode.Device, "device", $"{_device.Location} has failed: "
                    + CudaException.Of(Library, result, nameof(Library.cuStreamQuery)).Message
                    + "; it counts as lost and is not called again");
                return new DeviceOutcome(DeviceEnd.Failed, _device.Loss.Mark(error));
        }
    }

    private DeviceOutcome Lose()
    {
        string limit = Text(_patience.Limit);
        MeshError error = _device.Loss.Mark(LossOf(_device, limit));
        // Which of the two has stalled is not known, and the copy may still write to either.
        _other?.Loss.Mark(LossOf(_other, limit));
        return new DeviceOutcome(DeviceEnd.Late, error);
    }

    private static DeviceOutcome? Lost(CudaDevice device) =>
        device.Loss.Error is { } error ? new DeviceOutcome(DeviceEnd.Failed, error) : null;

    private static MeshError LossOf(CudaDevice device, string limit) => new(MeshErrorCode.Device, "device",
        $"{device.Location}: a copy has not ended within {limit}; the device counts as lost and is not called again");

    private static DeviceOutcome Late(string message) =>
        new(DeviceEnd.Late, new MeshError(MeshErrorCode.Device, "device", message));

    private static string Text(TimeSpan time) =>
        time.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture) + " ms";
}
