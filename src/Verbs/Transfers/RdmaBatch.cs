// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>Bytes to be moved between memory here and at a peer.</summary>
/// <param name="Kind">Read: from the peer; write: to it.</param>
/// <param name="Local">The first byte here.</param>
/// <param name="Memory">What it lies in.</param>
/// <param name="Remote">The peer's memory.</param>
/// <param name="Offset">Where in it the first byte lies, in bytes.</param>
/// <param name="Length">Length in bytes, from 1.</param>
/// <param name="Over">The one queue pair that it may go over; null: any.</param>
internal readonly record struct RdmaRequest(WorkKind Kind, nint Local, LocalMemory Memory, RemoteMemory Remote,
    long Offset, long Length, Endpoint? Over = null);

/// <summary>A part of a request that goes over one queue pair, under one key here and one there.</summary>
internal readonly record struct RdmaSlice(int Request, long Offset, int Length);

/// <summary>A queue pair over which a device's memory at the peer was written, and a byte of what was.</summary>
internal readonly record struct DeviceWrite(Endpoint Over, RemoteMemory Remote, long Offset);

/// <summary>
/// Requests to one peer that end together. Guarded by the lock of the peer; its task ends once, when nothing of it is
/// on its way any more.
/// </summary>
/// <param name="requests">What is to be moved.</param>
/// <param name="sliceBytes">Longest slice.</param>
/// <param name="endsWhenRefused">
/// Whether it ends as soon as the peer's card refuses a key: the peer's memory comes and goes, and so do its keys.
/// </param>
internal sealed class RdmaBatch(RdmaRequest[] requests, int sliceBytes, bool endsWhenRefused = false)
{
    private readonly TaskCompletionSource<TransferOutcome> _ended =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Stack<RdmaSlice> _again = new();
    private List<DeviceWrite>? _deviceWrites;
    private int _request;
    private long _offset;
    private int _inFlight;
    private long _landed;
    private TransferOutcome? _stopped;

    /// <summary>Ends with the batch.</summary>
    public Task<TransferOutcome> Ended => _ended.Task;

    /// <summary>Bytes that have landed.</summary>
    public long Landed => Volatile.Read(ref _landed);

    /// <summary>Of each queue pair and each device there that it wrote, one write; known once it has ended.</summary>
    public IReadOnlyList<DeviceWrite> DeviceWrites => _deviceWrites ?? [];

    /// <summary>Queue pairs that broke under it.</summary>
    public int Breaks { get; set; }

    /// <summary>Whether it waits to be sent on.</summary>
    public bool IsQueued { get; set; }

    /// <summary>Whether nothing more of it is sent.</summary>
    public bool IsStopped => _stopped is not null;

    /// <summary>Whether any of it is on its way.</summary>
    public bool IsUnderWay => _inFlight > 0;

    public ref readonly RdmaRequest RequestOf(in RdmaSlice slice) => ref requests[slice.Request];

    /// <summary>The next slice to be sent; false: there is none at present.</summary>
    public bool TryTake(out RdmaSlice slice)
    {
        slice = default;
        if (IsStopped)
            return false;
        if (_again.TryPop(out slice))
            return true;
        if (_request == requests.Length)
        {
            // One without requests has nothing else that ends it.
            EndIfOver();
            return false;
        }

        ref readonly var request = ref requests[_request];
        long length = Math.Min(sliceBytes, request.Length - _offset);
        length = Math.Min(length, request.Memory.UntilPartEnd(request.Local + (nint)_offset));
        length = Math.Min(length, request.Remote.UntilPartEnd(request.Offset + _offset));
        slice = new RdmaSlice(_request, _offset, (int)length);
        _offset += length;
        if (_offset == request.Length)
            (_request, _offset) = (_request + 1, 0);
        return true;
    }

    /// <summary>A slice that was taken has not been sent, or was lost: it is taken again.</summary>
    public void PutBack(in RdmaSlice slice) => _again.Push(slice);

    public void Sent() => _inFlight++;

    /// <summary>A slice has landed.</summary>
    public void Arrived(Endpoint over, in RdmaSlice slice)
    {
        ref readonly var request = ref RequestOf(slice);
        if (request.Kind == WorkKind.Write && request.Remote.Device.Length > 0)
            Wrote(over, request.Remote, request.Offset + slice.Offset);
        _inFlight--;
        Volatile.Write(ref _landed, _landed + slice.Length);
        EndIfOver();
    }

    /// <summary>A slice was lost with its queue pair, and is sent again unless the batch is stopped.</summary>
    public void Lost(in RdmaSlice slice)
    {
        _inFlight--;
        if (!IsStopped)
            PutBack(slice);
        EndIfOver();
    }

    /// <summary>The peer's card has refused a key.</summary>
    public void Refused()
    {
        IsRefused = true;
        if (endsWhenRefused)
            _stopped ??= TransferOutcome.Unreachable;
    }

    /// <summary>Whether the peer's card has refused a key.</summary>
    public bool IsRefused { get; private set; }

    /// <summary>Nothing more of it is sent; it ends once nothing is on its way.</summary>
    public void Stop(TransferOutcome outcome)
    {
        _stopped ??= outcome;
        EndIfOver();
    }

    private void Wrote(Endpoint over, RemoteMemory remote, long offset)
    {
        _deviceWrites ??= [];
        foreach (var write in _deviceWrites)
        {
            if (write.Over == over && write.Remote.Device == remote.Device)
                return;
        }

        _deviceWrites.Add(new DeviceWrite(over, remote, offset));
    }

    private void EndIfOver()
    {
        if (_inFlight > 0)
            return;
        if (_stopped is { } outcome)
            _ended.TrySetResult(outcome);
        else if (_request == requests.Length && _again.Count == 0)
            _ended.TrySetResult(TransferOutcome.Done);
    }
}
