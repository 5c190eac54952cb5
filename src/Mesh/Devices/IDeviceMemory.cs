// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Devices;

/// <summary>
/// The memory of accelerators, which only their driver reads and writes. Whoever holds an address asks
/// <see cref="LocationOf"/> before following it. The copies block their thread: they are made by threads of the data
/// path, and never under a lock. Thread-safe.
/// </summary>
/// <remarks>
/// A device may stall, and a copy that it has begun cannot be withdrawn. So no copy goes between a device and a
/// caller's host memory directly: bytes pass through pinned buffers of the driver's owner, which are given up, not used
/// again, when a copy through them does not end in time (rule A4). Then the device counts as lost, and every later call
/// on it is refused at once. Only a caller's own device memory may then still change: that of a lost device holds
/// nothing.
/// </remarks>
public interface IDeviceMemory : IDisposable
{
    /// <summary>The devices, by number.</summary>
    IReadOnlyList<DeviceInfo> Devices { get; }

    /// <summary>Free and total bytes of a device at this moment.</summary>
    /// <returns>InvalidArgument for a location that is none; Device.</returns>
    MeshResult<DeviceUsage> UsageOf(string location);

    /// <summary>Where memory lies: "cuda:N"; null: in host memory, or not known to the driver.</summary>
    string? LocationOf(DeviceRange range);

    /// <summary>Takes memory of a device; its bytes are 0.</summary>
    /// <param name="location">"cuda:N".</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>InvalidArgument for a location that is none; NoSpace; Device.</returns>
    MeshResult<IDeviceBlock> Allocate(string location, long length);

    /// <summary>Maps a block of another process of this host, for reading, until disposed.</summary>
    /// <param name="location">Where the other process says that it lies.</param>
    /// <param name="handle">What <see cref="IDeviceBlock.Share"/> gave there.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>Device where the driver refuses: another device, a process that has ended, no such feature.</returns>
    MeshResult<IDeviceBlock> OpenShared(string location, ReadOnlySpan<byte> handle, long length);

    /// <summary>
    /// Reads device memory: <paramref name="sink"/> is given its bytes in order, in host memory, while the next ones
    /// are on their way.
    /// </summary>
    /// <param name="from">Ranges of one device, read one after the other as if they were one.</param>
    /// <param name="sink">Takes the bytes, on this thread.</param>
    /// <param name="order">What the read comes after.</param>
    /// <param name="timeout">Longest time that the device may take.</param>
    /// <returns>How it ended; nothing of the caller's host memory is touched any more.</returns>
    DeviceOutcome Read(ReadOnlySpan<DeviceRange> from, IChunkSink sink, DeviceOrder order, TimeSpan timeout);

    /// <summary>
    /// Writes device memory: <paramref name="source"/> fills host memory in order, while the bytes before are on their
    /// way. Once done, the bytes are in the device's memory and whoever reads it from then on sees them.
    /// </summary>
    /// <returns>As <see cref="Read"/>.</returns>
    DeviceOutcome Write(ReadOnlySpan<DeviceRange> to, IChunkSource source, DeviceOrder order, TimeSpan timeout);

    /// <summary>A dma-buf of device memory, for a network card; the caller closes the descriptor.</summary>
    /// <param name="range">Whole pages of the host, in one allocation.</param>
    /// <returns>
    /// InvalidArgument for what is not that; Device where the driver or the device has no such thing.
    /// </returns>
    MeshResult<int> ExportDmaBuf(DeviceRange range);

    /// <summary>
    /// Waits until whoever reads a device's memory, here or in another process, sees what network cards have written
    /// there. Short; blocks its thread.
    /// </summary>
    /// <param name="location">"cuda:N".</param>
    /// <returns>null; Device where that cannot be had: then no card may write there.</returns>
    MeshError? FlushWrites(string location);

    /// <summary>Copies within a device or between two of them.</summary>
    /// <returns>As <see cref="Read"/>.</returns>
    DeviceOutcome Copy(DeviceRange from, nint to, DeviceOrder order, TimeSpan timeout);

    /// <summary>Waits for the work that is on a stream of the caller so far.</summary>
    /// <param name="location">
    /// "cuda:N", whose stream it is; null: the device that this thread uses, where an unused thread's default stream
    /// has nothing on it.
    /// </param>
    /// <param name="order">The stream.</param>
    /// <param name="timeout">How long to wait. A stream that takes longer costs no device.</param>
    /// <returns>Done; Late; Failed, as for <see cref="Read"/>.</returns>
    DeviceOutcome Await(string? location, DeviceOrder order, TimeSpan timeout);
}

/// <summary>A device.</summary>
/// <param name="Location">"cuda:N", N being the driver's number.</param>
/// <param name="Name">The driver's name of the model.</param>
/// <param name="PciAddress">"0000:17:00.0": its place in sysfs, for the distance to network cards; or empty.</param>
public sealed record DeviceInfo(string Location, string Name, string PciAddress);

/// <summary>How full a device is.</summary>
/// <param name="Free">Free bytes.</param>
/// <param name="Total">All bytes.</param>
public readonly record struct DeviceUsage(long Free, long Total);

/// <summary>Memory of a device, until disposed. The address is no address of the host: nothing may follow it.</summary>
public interface IDeviceBlock : IDisposable
{
    /// <summary>"cuda:N".</summary>
    string Location { get; }

    /// <summary>First byte, as the driver counts.</summary>
    nint Address { get; }

    /// <summary>Length in bytes.</summary>
    long Length { get; }

    /// <summary>What another process of this host opens it by, up to 64 bytes.</summary>
    /// <returns>Device where the driver cannot share it; then readers go through this process.</returns>
    MeshResult<byte[]> Share();
}

/// <summary>What a copy comes after.</summary>
/// <param name="Stream">
/// A stream of the caller, a CUstream: the copy begins when the work put on it so far is done, and the caller goes on
/// when the copy is. 0: nothing; the caller's work is done already.
/// </param>
public readonly record struct DeviceOrder(nint Stream = 0)
{
    /// <summary>The default stream of a device, by the name that the driver has for it (CU_STREAM_LEGACY).</summary>
    public const nint DefaultStream = 1;
}

/// <summary>How a copy ended.</summary>
public enum DeviceEnd
{
    /// <summary>All bytes are where they were to go.</summary>
    Done,

    /// <summary>The device took longer than it may; it is lost.</summary>
    Late,

    /// <summary>The sink or the source did not want to go on.</summary>
    Stopped,

    /// <summary>The driver refused or the device failed.</summary>
    Failed,
}

/// <summary>How a copy ended, and why.</summary>
/// <param name="End">How.</param>
/// <param name="Error">Late or failed: the reason; else null.</param>
public readonly record struct DeviceOutcome(DeviceEnd End, MeshError? Error = null);

/// <summary>Memory of a device, or of the host where it is asked which.</summary>
/// <param name="Address">First byte.</param>
/// <param name="Length">Length in bytes.</param>
public readonly record struct DeviceRange(nint Address, long Length);

/// <summary>Takes the bytes of a device in order.</summary>
public interface IChunkSink
{
    /// <summary>Takes the next bytes; they are there until this returns.</summary>
    /// <param name="bytes">Host memory.</param>
    /// <param name="offset">Where in the whole they are.</param>
    /// <returns>Whether to go on.</returns>
    bool Take(ReadOnlySpan<byte> bytes, long offset);
}

/// <summary>Gives the bytes for a device in order.</summary>
public interface IChunkSource
{
    /// <summary>Fills all of <paramref name="bytes"/>.</summary>
    /// <param name="bytes">Host memory.</param>
    /// <param name="offset">Where in the whole they are.</param>
    /// <returns>Whether to go on.</returns>
    bool Fill(Span<byte> bytes, long offset);
}
