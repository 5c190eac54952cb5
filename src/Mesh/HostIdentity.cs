// SPDX-License-Identifier: Apache-2.0

using System.Reflection;

namespace Mooncake.Mesh;

/// <summary>What is the same for every process of this host and build.</summary>
internal static class HostIdentity
{
    /// <summary>The kernel's boot id, or empty where there is none.</summary>
    public static string BootId { get; } = Read("/proc/sys/kernel/random/boot_id");

    /// <summary>This software's version.</summary>
    public static string Version { get; } =
        typeof(HostIdentity).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
            .Split('+')[0] ?? "0.0.0";

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        catch (IOException)
        {
            return "";
        }
    }
}
