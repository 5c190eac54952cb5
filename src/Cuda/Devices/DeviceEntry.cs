// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>
/// A device that may be used. It is taken into use with the first call that needs it: a context costs hundreds of MiB
/// of its memory, and most processes use one device of many. Thread-safe.
/// </summary>
internal sealed unsafe class DeviceEntry : IDisposable
{
    private const int NameRoom = 256;

    private readonly CudaLibrary _library;
    private readonly TimeProvider _time;
    private readonly int _native;
    private volatile CudaDevice? _device;
    private volatile bool _disposed;

    private DeviceEntry(CudaLibrary library, int native, DeviceInfo info, TimeProvider time)
    {
        _library = library;
        _native = native;
        Info = info;
        _time = time;
    }

    /// <summary>The driver's name of it, which is not its number.</summary>
    internal int Native => _native;

    /// <summary>What it is.</summary>
    internal DeviceInfo Info { get; }

    /// <summary>Whether it is lost.</summary>
    internal DeviceLoss Loss { get; } = new();

    /// <summary>Looks at a device.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal static DeviceEntry Of(CudaLibrary library, int ordinal, TimeProvider time)
    {
        int native = 0;
        CudaException.ThrowIfFailed(library, library.cuDeviceGet(&native, ordinal), nameof(library.cuDeviceGet));
        byte* text = stackalloc byte[NameRoom];
        CudaException.ThrowIfFailed(library,
            library.cuDeviceGetName(text, NameRoom, native), nameof(library.cuDeviceGetName));
        string name = TextOf(text);
        // Without its address nothing is known of how near it is, and it can be used all the same.
        string address = library.cuDeviceGetPCIBusId(text, NameRoom, native) == CUresult.CUDA_SUCCESS
            ? SysfsAddress(TextOf(text))
            : "";
        string location = "cuda:" + ordinal.ToString(CultureInfo.InvariantCulture);
        return new DeviceEntry(library, native, new DeviceInfo(location, name, address), time);
    }

    /// <summary>The device, in use.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    /// <exception cref="ObjectDisposedException">This has been disposed.</exception>
    internal CudaDevice Open()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_device is { } device)
            return device;
        // No lock: to take a device into use may take long. Who comes second gives back what it has made.
        CudaDevice made = CudaDevice.Open(_library, _native, Info.Location, Loss, _time);
#pragma warning disable CS0420 // the compare-exchange is as strong as the volatile access
        CudaDevice? first = Interlocked.CompareExchange(ref _device, made, null);
#pragma warning restore CS0420
        if (first is not null || _disposed)
            made.Dispose();
        ObjectDisposedException.ThrowIf(_disposed, this);
        return first ?? made;
    }

    /// <summary>Gives the device back.</summary>
    public void Dispose()
    {
        _disposed = true;
        _device?.Dispose();
    }

    private static string TextOf(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    /// <summary>"0000:17:00.0" of "00000000:17:00.0" or "0000:3B:00.0": sysfs writes four small digits.</summary>
    private static string SysfsAddress(string driver)
    {
        string address = driver.ToLowerInvariant();
        int colon = address.IndexOf(':', StringComparison.Ordinal);
        return colon > 4 ? address[(colon - 4)..] : address;
    }
}
