// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>
/// Memory of a device: taken here, or mapped from another process. It is a plain allocation, as only such can be
/// mapped by others. Thread-safe.
/// </summary>
internal sealed unsafe class DeviceBlock : IDeviceBlock
{
    /// <summary>
    /// The driver shares what it manages as one piece, which is 2 MiB long: a block that were not a multiple of it
    /// would let others see what lies behind it.
    /// </summary>
    internal const long Granularity = 2 << 20;

    private readonly CudaDevice _device;
    private readonly CudaHandle _memory;
    private readonly bool _isMapped;

    private DeviceBlock(CudaDevice device, CudaHandle memory, long length, bool isMapped)
    {
        _device = device;
        _memory = memory;
        Length = length;
        _isMapped = isMapped;
    }

    /// <inheritdoc/>
    public string Location => _device.Location;

    /// <inheritdoc/>
    public nint Address => _memory.Native;

    /// <inheritdoc/>
    public long Length { get; }

    /// <summary>Bytes taken for <paramref name="length"/> bytes.</summary>
    internal static long TakenFor(long length) => (length + Granularity - 1) / Granularity * Granularity;

    /// <summary>Takes memory of a device whose context is entered; its bytes are what they were.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static DeviceBlock Take(CudaDevice device, long length)
    {
        CudaLibrary library = device.Library;
        long taken = TakenFor(length);
        nint address = 0;
        int result = library.cuMemAlloc_v2(&address, (nuint)taken);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuMemAlloc_v2));
        var memory = new CudaHandle(device.Context, address, library.cuMemFree_v2);
        return new DeviceBlock(device, memory, length, isMapped: false);
    }

    /// <summary>Maps memory of another process for a device whose context is entered.</summary>
    /// <param name="device">The device.</param>
    /// <param name="handle">What the other process names it by: 64 bytes.</param>
    /// <param name="length">Length that it has to have.</param>
    /// <param name="error">Why null is returned: it is shorter, or of another device.</param>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static DeviceBlock? Map(CudaDevice device, ReadOnlySpan<byte> handle, long length, out MeshError? error)
    {
        CudaLibrary library = device.Library;
        CUipcMemHandle native;
        handle.CopyTo(new Span<byte>(&native, CUipcMemHandle.CU_IPC_HANDLE_SIZE));
        nint address = 0;
        int result = library.cuIpcOpenMemHandle_v2(&address, native, CudaFlags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuIpcOpenMemHandle_v2));
        var memory = new CudaHandle(device.Context, address, library.cuIpcCloseMemHandle);

        PointerFacts facts = PointerFacts.Of(library, address, out result);
        error = null;
        if (result != CUresult.CUDA_SUCCESS)
            error = Refused(CudaException.Of(library, result, nameof(library.cuPointerGetAttributes)).Message);
        else if (facts.IsDevice && $"cuda:{facts.Device}" != device.Location)
            error = Refused($"the block lies on cuda:{facts.Device} here, not on {device.Location}");
        else if (facts.Size > 0 && facts.Start + facts.Size - (ulong)address < (ulong)length)
            error = Refused($"length {length}: the block has {facts.Start + facts.Size - (ulong)address} bytes");
        if (error is null)
            return new DeviceBlock(device, memory, length, isMapped: true);
        memory.Dispose();
        return null;
    }

    /// <inheritdoc/>
    /// <remarks>
    /// What becomes of a mapping whose owner gives the memory back is the driver's secret: the owner keeps it until
    /// nobody maps it any more.
    /// </remarks>
    public MeshResult<byte[]> Share()
    {
        if (_isMapped)
            return Refused("a block that is mapped from another process is shared by that process alone");
        return DeviceCalls.Run<DeviceBlock, byte[]>(_device, "share", this, static block =>
        {
            CUipcMemHandle native;
            CudaLibrary library = block._device.Library;
            int result = library.cuIpcGetMemHandle(&native, block.Address);
            CudaException.ThrowIfFailed(library, result, nameof(library.cuIpcGetMemHandle));
            return new Span<byte>(&native, CUipcMemHandle.CU_IPC_HANDLE_SIZE).ToArray();
        });
    }

    /// <summary>
    /// Gives the memory back, or ends the mapping. The driver waits for the device in this: never under a lock. Memory
    /// of a lost device is left.
    /// </summary>
    public void Dispose() => _memory.Dispose();

    private static MeshError Refused(string message) => new(MeshErrorCode.Device, "device", message);
}
