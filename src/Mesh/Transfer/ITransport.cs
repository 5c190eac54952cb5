// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>How a transfer ended.</summary>
public enum TransferOutcome
{
    /// <summary>Every byte arrived, and the extent held the object when the last one was read.</summary>
    Done,

    /// <summary>The extent no longer holds the object; what arrived is to be dropped.</summary>
    Stale,

    /// <summary>The holder cannot be reached this way, or the connection broke.</summary>
    Unreachable,

    /// <summary>The deadline passed or the caller cancelled.</summary>
    Late,

    /// <summary>A device that has the bytes, or was to get them, refused, failed or stalled.</summary>
    DeviceFailed,
}

/// <summary>
/// Native memory of the caller, of the host or of a device; stays where it is until the call that got it returns.
/// </summary>
/// <param name="Address">First byte.</param>
/// <param name="Length">Length in bytes.</param>
public readonly record struct NativeRange(nint Address, long Length)
{
    /// <summary>
    /// Where a device has it; null: it is the host's, or nobody has asked yet. Where there is one, nobody follows the
    /// address.
    /// </summary>
    internal DeviceBuffer? Device { get; init; }

    /// <summary>A part of it.</summary>
    /// <param name="from">Where it begins, in bytes.</param>
    /// <param name="length">Its length in bytes; not past the end.</param>
    internal NativeRange Part(long from, long length) => length > 0 && Device is { } device
        ? new NativeRange(0, length) { Device = device.Part(from, length) }
        : new NativeRange(Address + (nint)from, length);

    /// <summary>Why this can be no memory of a caller, or null; it is called <paramref name="name"/>.</summary>
    public MeshError? Validate(string stage, string name)
    {
        if (Length < 0)
            return new MeshError(MeshErrorCode.InvalidArgument, stage, $"{name} has {Length} bytes; the least is 0");
        if (Length == 0)
            return null;
        if (Address == 0)
            return new MeshError(MeshErrorCode.InvalidArgument, stage, $"{name} has {Length} bytes at address 0");
        return (ulong)(nuint)Address <= ulong.MaxValue - (ulong)Length ? null : new MeshError(
            MeshErrorCode.InvalidArgument, stage,
            $"{name} has {Length} bytes at 0x{(ulong)(nuint)Address:x}, which goes past the end of the address space");
    }
}

/// <summary>Bytes of one extent at one holder.</summary>
/// <param name="Node">The holder.</param>
/// <param name="SegmentId">Its segment; for a plan, with the mark of a replica in several extents.</param>
/// <param name="Offset">Where the extent starts, in bytes.</param>
/// <param name="Generation">The word that proves the extent still holds the object.</param>
/// <param name="Length">Bytes to read.</param>
/// <param name="Skip">Where in the extent they start, in bytes.</param>
/// <param name="Sums">Filled with the sums of what was read, on the way; null: none are wanted.</param>
public readonly record struct ExtentRead(NodeRecord Node, int SegmentId, long Offset, ulong Generation, long Length,
    long Skip = 0, SliceSums? Sums = null)
{
    /// <summary>
    /// How long the holder may keep silent before it counts as unreachable, where others have the bytes too; null:
    /// all the time there is.
    /// </summary>
    public TimeSpan? Patience { get; init; }
}

/// <summary>A reservation at one holder, whose bytes are to be carried there.</summary>
/// <param name="Node">The holder.</param>
/// <param name="ReservationId">The reservation.</param>
/// <param name="Sums">Filled with the sums of what was sent, on the way; null: none are wanted.</param>
/// <param name="Client">Whose reservation in shared memory it is, or 0: only the holder may write.</param>
/// <param name="SegmentId">With a client: the segment.</param>
/// <param name="Offset">With a client: where the extent starts, in bytes.</param>
public readonly record struct ExtentWrite(NodeRecord Node, ulong ReservationId, SliceSums? Sums = null,
    ulong Client = 0, int SegmentId = 0, long Offset = 0);

/// <summary>
/// Moves bytes between a caller's memory and a holder's segment. It says what it reaches and moves bytes; it decides
/// nothing. Thread-safe. No call returns while anything can still read or write the caller's memory, on deadline and
/// cancel alike (rule A4).
/// </summary>
public interface ITransport : IAsyncDisposable
{
    /// <summary>"tcp", "shm", "control", "self".</summary>
    string Name { get; }

    /// <summary>Largest transfer it does, in bytes.</summary>
    long MaxBytes { get; }

    /// <summary>
    /// Whether it moves bytes from and to this memory of a caller, which a device has; where not, the plan takes them
    /// through host memory.
    /// </summary>
    bool TakesDevice(in NativeRange memory) => false;

    /// <summary>Whether it can read from this node's segments.</summary>
    bool CanRead(NodeRecord node);

    /// <summary>Whether it can carry the bytes of a reservation to its holder.</summary>
    bool CanWrite(in ExtentWrite write);

    /// <summary>
    /// Reads an extent into <paramref name="destination"/>, and after the last byte checks that the word is still the
    /// one asked for (rule A1). Once done, the sums are those of what has arrived.
    /// </summary>
    Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel);

    /// <summary>
    /// Carries all bytes of a reservation to its holder, which writes them into the extent (rule A5).
    /// </summary>
    Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel);
}
