// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// A process of this host, named by the kernel, with what it has of our memory: views that are pinned, and
/// reservations that it fills itself. All of it ends by the process's own word or with the process, never by time (rule
/// A2). Thread-safe.
/// </summary>
internal sealed class ClientProcess(ulong token, int pid, bool mayWrite, ClientLimits limits)
{
    private readonly Lock _gate = new();
    private volatile ClientLimits _limits = limits;
    private readonly Dictionary<ulong, ExtentPin> _views = [];
    private long _viewBytes;
    private long _reservedBytes;
    private int _reservations;
    private bool _gone;

    /// <summary>What the process calls itself in its calls: random, so that no other can speak for it.</summary>
    public ulong Token => token;

    /// <summary>Its number, as this process sees it.</summary>
    public int Pid => pid;

    /// <summary>What it may have from now on; what it has more than that it keeps.</summary>
    public ClientLimits Limits
    {
        set => _limits = value;
    }

    /// <summary>Whether it may fill reservations itself.</summary>
    public bool MayWrite => mayWrite;

    /// <summary>Whether it has ended, or said that it has let go of everything.</summary>
    public bool IsGone => Volatile.Read(ref _gone);

    /// <summary>Stage of what is refused to a process as a writer: the holder can still write for it.</summary>
    public const string ReserveStage = "reserve:client";

    /// <summary>Whether its connection has gone: what it has is the last it will have.</summary>
    public bool IsDisconnected { get; set; }

    /// <summary>Views open, their bytes, and bytes reserved.</summary>
    public (int Views, long ViewBytes, long ReservedBytes) Usage
    {
        get
        {
            lock (_gate)
                return (_views.Count, _viewBytes, _reservedBytes);
        }
    }

    /// <summary>Takes bytes of its allowance for a reservation.</summary>
    public MeshError? TryReserve(long bytes)
    {
        lock (_gate)
        {
            if (_gone || !mayWrite)
                return NotAllowed(ReserveStage);
            if (_reservations >= ClientLimits.Reservations)
            {
                return new MeshError(MeshErrorCode.ClientLimit, ReserveStage,
                    $"process {pid} has {_reservations} reservations open; the limit is {ClientLimits.Reservations}");
            }

            if (bytes > _limits.ReservedBytes - _reservedBytes)
            {
                return new MeshError(MeshErrorCode.ClientLimit, ReserveStage,
                    $"process {pid} has {_reservedBytes} bytes reserved and asks for {bytes}; the limit is "
                    + $"{_limits.ReservedBytes} bytes (clientReservedBytes)");
            }

            _reservedBytes += bytes;
            _reservations++;
            return null;
        }
    }

    /// <summary>Gives bytes of a reservation back.</summary>
    public void Unreserve(long bytes)
    {
        lock (_gate)
        {
            _reservedBytes -= bytes;
            _reservations--;
        }
    }

    /// <summary>Keeps a pin for a view until <see cref="CloseView"/> or the end of the process.</summary>
    /// <returns>Null, or why not; the pin has ended then.</returns>
    public MeshError? TryOpenView(ulong id, ExtentPin pin)
    {
        MeshError? refusal;
        lock (_gate)
        {
            refusal = _gone ? NotAllowed("view") : OverLimit(pin.Length);
            if (refusal is null && !_views.TryAdd(id, pin))
                refusal = new MeshError(MeshErrorCode.InvalidArgument, "view",
                    $"process {pid} has a view {id} already");
            if (refusal is null)
                _viewBytes += pin.Length;
        }

        if (refusal is not null)
            pin.Dispose();
        return refusal;
    }

    /// <summary>Ends a view; false when there is none of that id.</summary>
    public bool CloseView(ulong id)
    {
        ExtentPin? pin;
        lock (_gate)
        {
            if (!_views.Remove(id, out pin))
                return false;
            _viewBytes -= pin.Length;
        }

        pin.Dispose();
        return true;
    }

    /// <summary>Ends everything the process has here but its reservations; once.</summary>
    /// <param name="onlyIdle">Whether to end it only if it has nothing.</param>
    /// <returns>False when it had ended before, or has something.</returns>
    public bool TryEnd(bool onlyIdle = false)
    {
        ExtentPin[] pins;
        lock (_gate)
        {
            if (_gone || (onlyIdle && (_views.Count > 0 || _reservations > 0)))
                return false;
            Volatile.Write(ref _gone, true);
            pins = [.. _views.Values];
            _views.Clear();
            _viewBytes = 0;
        }

        foreach (var pin in pins)
            pin.Dispose();
        return true;
    }

    /// <summary>The error of a call for a process that is not, or no longer, known here.</summary>
    public static MeshError Unknown(string stage) => new(MeshErrorCode.Unavailable, stage,
        "this node does not know the calling process: it has not opened the shared memory, or was thought dead");

    private MeshError NotAllowed(string stage) => _gone ? Unknown(stage) : new MeshError(MeshErrorCode.InvalidArgument,
        stage, $"process {pid} may not write into this node's memory (clientWrites)");

    private MeshError? OverLimit(long bytes)
    {
        if (_views.Count >= ClientLimits.Views)
        {
            return new MeshError(MeshErrorCode.ClientLimit, "view",
                $"process {pid} has {_views.Count} views open; the limit is {ClientLimits.Views}");
        }

        return bytes <= _limits.ViewBytes - _viewBytes ? null : new MeshError(MeshErrorCode.ClientLimit, "view",
            $"process {pid} has {_viewBytes} bytes in view and asks for {bytes}; the limit is "
            + $"{_limits.ViewBytes} bytes (clientViewBytes)");
    }
}
