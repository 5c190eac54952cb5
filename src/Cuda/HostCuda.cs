// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda;

/// <summary>
/// The memory of the GPUs that the process uses already, for a library in somebody else's program: CUDA is never begun
/// by this. A program that begins it can no longer fork workers that use it, and one that has not begun it has no
/// device memory to pass. Thread-safe.
/// </summary>
/// <param name="time">The clock of the limits.</param>
/// <param name="path">The driver's library; null: by its usual names.</param>
public sealed class HostCuda(TimeProvider time, string? path = null) : IDeviceMemory
{
    private readonly Lock _gate = new();
    private readonly IReadOnlyList<string> _names = string.IsNullOrEmpty(path) ? CudaLibrary.Names : [path];
    private CudaLibrary? _library;
    private CudaMemory? _memory;
    private ulong _lookedAt;
    private bool _unusable;

    /// <summary>The one of this process.</summary>
    public static HostCuda OfProcess { get; } =
        new(TimeProvider.System, Environment.GetEnvironmentVariable(CudaLibrary.PathVariable));

    /// <inheritdoc/>
    public IReadOnlyList<DeviceInfo> Devices => Begun()?.Devices ?? [];

    /// <inheritdoc/>
    public MeshResult<DeviceUsage> UsageOf(string location) =>
        Begun() is { } memory ? memory.UsageOf(location) : NotBegun("usage");

    /// <inheritdoc/>
    public string? LocationOf(DeviceRange range) => Begun()?.LocationOf(range);

    /// <inheritdoc/>
    public MeshResult<IDeviceBlock> Allocate(string location, long length) =>
        Begun() is { } memory ? memory.Allocate(location, length) : NotBegun("allocate");

    /// <inheritdoc/>
    public MeshResult<IDeviceBlock> OpenShared(string location, ReadOnlySpan<byte> handle, long length) =>
        Begun() is { } memory ? memory.OpenShared(location, handle, length) : NotBegun("map");

    /// <inheritdoc/>
    public DeviceOutcome Read(ReadOnlySpan<DeviceRange> from, IChunkSink sink, DeviceOrder order, TimeSpan timeout) =>
        Begun() is { } memory ? memory.Read(from, sink, order, timeout) : Failed("read");

    /// <inheritdoc/>
    public DeviceOutcome Write(ReadOnlySpan<DeviceRange> to, IChunkSource source, DeviceOrder order,
        TimeSpan timeout) =>
        Begun() is { } memory ? memory.Write(to, source, order, timeout) : Failed("write");

    /// <inheritdoc/>
    public MeshResult<int> ExportDmaBuf(DeviceRange range) =>
        Begun() is { } memory ? memory.ExportDmaBuf(range) : NotBegun("dma-buf");

    /// <inheritdoc/>
    public MeshError? FlushWrites(string location) =>
        Begun() is { } memory ? memory.FlushWrites(location) : NotBegun("flush");

    /// <inheritdoc/>
    public DeviceOutcome Copy(DeviceRange from, nint to, DeviceOrder order, TimeSpan timeout) =>
        Begun() is { } memory ? memory.Copy(from, to, order, timeout) : Failed("copy");

    /// <inheritdoc/>
    public DeviceOutcome Await(string? location, DeviceOrder order, TimeSpan timeout) =>
        Begun() is { } memory ? memory.Await(location, order, timeout) : Failed("wait");

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _unusable = true;
            _memory?.Dispose();
        }
    }

    /// <summary>The devices, once the process has begun CUDA.</summary>
    private CudaMemory? Begun() => Volatile.Read(ref _memory) is { } memory ? memory : Look();

    private CudaMemory? Look()
    {
        // Where no library has come since the last look, the driver has not either.
        ulong loads = LoadedLibraries.Loads;
        if (_library is null && loads == Volatile.Read(ref _lookedAt))
            return null;
        lock (_gate)
        {
            if (_memory is not null || _unusable)
                return _unusable ? null : _memory;
            _library ??= Find(out _unusable);
            Volatile.Write(ref _lookedAt, loads);
            if (_library is null || !HasBegun(_library))
                return null;
            MeshResult<CudaMemory> opened = CudaMemory.Open(_library, time);
            _unusable = !opened.Succeeded;
            Volatile.Write(ref _memory, opened.Succeeded ? opened.Value : null);
            return _memory;
        }
    }

    private CudaLibrary? Find(out bool unusable)
    {
        unusable = false;
        foreach (string name in _names)
        {
            if (!LoadedLibraries.Has(name))
                continue;
            CudaLibrary? library = CudaLibrary.TryOpen(name, out _);
            // A driver that lacks what is asked of an address: what it has is not told from host memory.
            unusable = library is null || LibCuda.IsTooOld(library);
            return unusable ? null : library;
        }

        return null;
    }

    /// <summary>The driver refuses every call before the first cuInit of the process.</summary>
    private static unsafe bool HasBegun(CudaLibrary library)
    {
        int count = 0;
        return library.cuDeviceGetCount(&count) == CUresult.CUDA_SUCCESS && count > 0;
    }

    private static MeshError NotBegun(string what) =>
        new(MeshErrorCode.Device, "device:" + what, "this process has not begun CUDA");

    private static DeviceOutcome Failed(string what) => new(DeviceEnd.Failed, NotBegun(what));
}
