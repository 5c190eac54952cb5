// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>How a wait for a device ended.</summary>
internal enum WaitEnd
{
    /// <summary>What was waited for has come.</summary>
    Done,

    /// <summary>It has not come in time.</summary>
    Late,

    /// <summary>The driver says that it never will.</summary>
    Failed,
}

/// <summary>
/// How long a device may still take. Only time in which something waits for the device is counted: a slow source or
/// sink is not its fault. Waits ask the driver again and again, as a call that waits would not come back from a device
/// that has stalled.
/// </summary>
internal struct DevicePatience
{
    /// <summary>
    /// Questions before sleeping a millisecond between them: a few hundred microseconds, in which a chunk goes over
    /// PCIe several times.
    /// </summary>
    private const int QuickQuestions = 200;

    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(1);

    private readonly TimeProvider _time;
    private TimeSpan _left;

    /// <summary>Begins with all of the time.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="limit">Longest time of all waits together; infinite: for ever.</param>
    internal DevicePatience(TimeProvider time, TimeSpan limit)
    {
        _time = time;
        _left = limit;
        Limit = limit;
    }

    /// <summary>The limit of all waits together.</summary>
    internal TimeSpan Limit { get; }

    /// <summary>Whether there is no time left to wait.</summary>
    internal readonly bool IsOver => Limit != Timeout.InfiniteTimeSpan && _left <= TimeSpan.Zero;

    /// <summary>Whatever was waited for before, so much is left, if the limit is not less.</summary>
    internal void LeaveAtLeast(TimeSpan least)
    {
        if (Limit != Timeout.InfiniteTimeSpan && _left < least)
            _left = least < Limit ? least : Limit;
    }

    /// <summary>Waits for an event.</summary>
    /// <param name="library">The driver.</param>
    /// <param name="recorded">The event; its context is entered.</param>
    /// <param name="result">What the driver said last.</param>
    internal unsafe WaitEnd ForEvent(CudaLibrary library, nint recorded, out int result) =>
        For(library.cuEventQuery, recorded, out result);

    /// <summary>Waits for all that is on a stream.</summary>
    internal unsafe WaitEnd ForStream(CudaLibrary library, nint stream, out int result) =>
        For(library.cuStreamQuery, stream, out result);

    /// <summary>Waits for a place of a semaphore.</summary>
    internal bool ForPlace(SemaphoreSlim places)
    {
        if (places.Wait(0))
            return true;
        long start = _time.GetTimestamp();
        while (!IsAfter(start))
        {
            // The semaphore keeps another clock than the one given here.
            if (places.Wait(Slice))
                return Spend(start);
        }

        return places.Wait(0);
    }

    private unsafe WaitEnd For(delegate* unmanaged[Cdecl]<nint, int> query, nint native, out int result)
    {
        result = query(native);
        if (result != CUresult.CUDA_ERROR_NOT_READY)
            return result == CUresult.CUDA_SUCCESS ? WaitEnd.Done : WaitEnd.Failed;

        long start = _time.GetTimestamp();
        var spin = default(SpinWait);
        bool isLast = false;
        while (true)
        {
            result = query(native);
            if (result != CUresult.CUDA_ERROR_NOT_READY)
                break;
            if (isLast)
                break;
            // This thread may have been stopped after its question; so it asks once more after the time is over.
            isLast = IsAfter(start);
            if (!isLast)
                spin.SpinOnce(QuickQuestions);
        }

        Spend(start);
        return result switch
        {
            CUresult.CUDA_SUCCESS => WaitEnd.Done,
            CUresult.CUDA_ERROR_NOT_READY => WaitEnd.Late,
            _ => WaitEnd.Failed,
        };
    }

    private readonly bool IsAfter(long start) =>
        Limit != Timeout.InfiniteTimeSpan && _time.GetElapsedTime(start) >= _left;

    private bool Spend(long start)
    {
        _left -= _time.GetElapsedTime(start);
        return true;
    }
}
