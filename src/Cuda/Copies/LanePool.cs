// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// The lanes of a device: at most <see cref="Most"/>, made when there is need, and kept. Who finds none waits as long
/// as it may. The driver is never called under the lock. Thread-safe.
/// </summary>
internal sealed class LanePool(CudaContext context, TimeProvider time) : IDisposable
{
    /// <summary>Most lanes, which is how many copies a device makes at a time; they pin 2 MiB each.</summary>
    internal const int Most = 8;

    private readonly SemaphoreSlim _places = new(Most);
    private readonly Stack<CopyLane> _idle = new(Most);
    private readonly Lock _gate = new();
    private bool _disposed;

    /// <summary>Lets a copy take the time that it may.</summary>
    internal DevicePatience Patience(TimeSpan limit) => new(time, limit);

    /// <summary>Takes a lane of the context, which is entered; give it back.</summary>
    /// <returns>Null: none has become free in time, or the device has been lost meanwhile.</returns>
    /// <exception cref="CudaException">One was to be made, and the driver refuses.</exception>
    internal CopyLane? Rent(ref DevicePatience patience)
    {
        if (!patience.ForPlace(_places))
            return null;
        if (context.Loss.Error is not null)
        {
            _places.Release();
            return null;
        }

        lock (_gate)
        {
            if (_idle.TryPop(out CopyLane? idle))
                return idle;
        }

        try
        {
            return CopyLane.Create(context);
        }
        catch (CudaException)
        {
            _places.Release();
            throw;
        }
    }

    /// <summary>
    /// Takes a lane back, with nothing on its stream; or, of a lost device, drops it: what was on its way through it
    /// may still arrive, so neither its memory nor its stream is ever used or given back.
    /// </summary>
    internal void Return(CopyLane lane)
    {
        bool keep = context.Loss.Error is null && !lane.IsBusy;
        if (keep)
        {
            lock (_gate)
            {
                keep = !_disposed;
                if (keep)
                    _idle.Push(lane);
            }
        }

        if (!keep)
            lane.Dispose();
        // Whoever waits is let on also when the device is lost: to be told so.
        _places.Release();
    }

    /// <summary>Ends the lanes that are not in use; the others end when they are given back.</summary>
    public void Dispose()
    {
        CopyLane[] idle;
        lock (_gate)
        {
            _disposed = true;
            idle = [.. _idle];
            _idle.Clear();
        }

        foreach (CopyLane lane in idle)
            lane.Dispose();
    }
}
